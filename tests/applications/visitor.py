"""Somebody with a browser: cookies, links, forms with their hidden fields. Each request may reach another instance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests
from application import Form

LIMIT = 30  # seconds for an answer


class Forms(HTMLParser):
    """The forms of a page: what a browser sends of each if nothing is filled in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self._names: set[str] = set()
        self._select = self._text = ""
        self.feed(page)

    def with_fields(self, names: set[str]) -> dict[str, str]:
        (form,) = [form for form in self.found if names <= form.keys()]
        return {name: value for name, value in form.items() if not value.startswith("\0")}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        got = {name: value or "" for name, value in attributes}
        name = got.get("name", "")
        if tag == "form":
            self.found.append({})
        elif not self.found:
            return
        elif tag == "input" and name:
            # Unchecked boxes and files are there to be filled in, and not sent otherwise.
            left_out = got.get("type") in ("checkbox", "radio") and "checked" not in got
            left_out = left_out or got.get("type") in ("file", "submit", "button")
            if not left_out or name not in self.found[-1]:
                self.found[-1][name] = "\0" if left_out else got.get("value", "")
        elif tag == "select":
            self._select = name
            self.found[-1][name] = "\0"
        elif tag == "option" and self._select:
            if "selected" in got or self.found[-1][self._select] == "\0":
                self.found[-1][self._select] = got.get("value", "")
        elif tag == "textarea":
            self._text = name
            self.found[-1][name] = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.found[-1][self._text] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._text = ""


class Visitor:
    """One browser. An answer that is no 200 is an AssertionError."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def ask(self, page: str, **sent: object) -> requests.Response:
        method = "POST" if sent else "GET"
        answer = self._session.request(method, urljoin(self._url, page), timeout=LIMIT, **sent)  # type: ignore[arg-type]
        assert answer.status_code == 200, f"{method} {answer.url}: {answer.status_code}\n{answer.text[:2000]}"
        return answer

    def follow(self, way: Form) -> requests.Response:
        """The page at the end of these links."""
        answer = self.ask(way.page)
        for part in way.follow:
            links = [unescape(link) for link in re.findall(r'(?:href|src)="([^"]+)"', answer.text)]
            link = next((link for link in links if part in link), None)
            assert link, f"{answer.url} has no link with {part}, but {links}\n{answer.text[:5000]}"
            answer = self.ask(urljoin(answer.url, link))
        return answer

    def submit(self, form: Form, file: tuple[str, bytes] | None = None) -> requests.Response:
        page = self.follow(form)
        names = {*form.form, *([form.file] if form.file else [])}
        data = {**Forms(page.text).with_fields(names), **form.form}
        # A form with a file is in parts also where none is chosen.
        answer = self.ask(page.url, data=data, files={form.file: file} if form.file else None)
        assert not re.search(r'id="\w+__error"', answer.text), (
            f"{answer.url} does not accept it:\n{answer.text[:10000]}"
        )
        assert form.says in answer.text, f"{answer.url} does not say {form.says}:\n{answer.text[:10000]}"
        return answer

    def look_at(self, pages: Mapping[str, str]) -> None:
        for page, text in pages.items():
            answer = self.ask(page)
            assert text in answer.text, f"{answer.url} does not say {text}:\n{answer.text[:10000]}"
