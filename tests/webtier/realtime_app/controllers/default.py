def index():
    return "a page"
