response.title = T("Hello World")
