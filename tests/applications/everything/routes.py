# Addresses without the application's name, which web2py_app_name says, and pages for errors.
routes_in = (
    ("/", "/welcome/default/index"),
    ("/library", "/welcome/default/papers"),
    ("/library/$anything", "/welcome/default/papers/$anything"),
    ("/default/$anything", "/welcome/default/$anything"),
)
routes_out = (
    ("/welcome/default/papers", "/library"),
    ("/welcome/default/papers/$anything", "/library/$anything"),
    ("/welcome/default/$anything", "/default/$anything"),
)
routes_onerror = (
    ("*/404", "/welcome/static/missing.html"),
    ("*/500", "/welcome/default/sorry"),
)
