"""On which shelf a paper stands."""


def shelf(title: str) -> str:
    """The letter that it is found under."""
    return title[0].upper()
