"""What a request costs: web2py as this project runs it beside other ways to answer the same three requests."""
