"""The report in a browser: headless Chromium, wide and narrow, light and dark."""

import html
import json
import re
import shutil
import subprocess

import loadtest_results
import pytest

from loadtest import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1280, 360)

# The pages are in frames of a page of ours, which looks at them and writes down what it sees.
LOOK = """
<!doctype html><title>frames</title><body>%s<pre id="seen"></pre><script>
function luminance(text) {
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = text.match(/[\\d.]+/g).map(v => linear(Number(v) / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
addEventListener("load", () => {
  const seen = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
    const style = element => view.getComputedStyle(element);
    const shown = [...page.querySelectorAll("svg")].filter(chart => style(chart).display !== "none");
    const texts = [...page.querySelectorAll("p, td, th, h1, h2, .figure, .state, li")]
      .filter(element => element.getClientRects().length);
    const ground = element => {
      for (let at = element; at; at = at.parentElement)
        if (!/, 0\\)$|transparent/.test(style(at).backgroundColor)) return style(at).backgroundColor;
      return "rgb(255, 255, 255)";
    };
    const contrast = element => {
      const [a, b] = [luminance(style(element).color), luminance(ground(element))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    };
    return {
      width: root.clientWidth, content: root.scrollWidth,
      tables: [...page.querySelectorAll("summary")].map(summary => {
        summary.focus();
        const focused = page.activeElement === summary;
        summary.click();  // what Enter does there
        return focused && summary.parentElement.open;
      }),
      background: luminance(style(page.body).backgroundColor),
      contrast: Math.min(...texts.map(contrast)),
      charts: shown.map(chart => {
        const box = chart.getBoundingClientRect(), inner = chart.getBBox(), view = chart.viewBox.baseVal;
        const ticks = [...chart.querySelectorAll(".tick")].map(tick => tick.getBoundingClientRect().height);
        return {
          name: chart.getAttribute("aria-label"), width: box.width, height: box.height, tick: Math.min(...ticks),
          outside: inner.x < -1 || inner.x + inner.width > view.width + 1
            || inner.y < -1 || inner.y + inner.height > view.height + 1,
          broken: /NaN|undefined|Infinity/.test(chart.innerHTML),
          drawn: chart.querySelectorAll("path.line, rect.ok").length,
        };
      }),
    };
  });
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>
"""


def one_run(_directory):
    return report.render(loadtest_results.result(), loadtest_results.result(60))


def two_runs(directory):
    for name, seconds in (("before", 60), ("now", 120)):
        (directory / name).mkdir()
        (directory / name / "result.json").write_text(json.dumps(loadtest_results.result(seconds)))
    return report.compare_runs(directory / "before", directory / "now").read_text()


# Each page, how many charts it has, their part of the width on a wide screen, and how high they are on a narrow one.
PAGES = {one_run: (5, 1, 100), two_runs: (10, 0.5, 90)}


@pytest.fixture(
    scope="module",
    params=[(page, scheme) for page in PAGES for scheme in ("light", "dark")],
    ids=lambda given: f"{given[0].__name__}-{given[1]}",
)
def seen(request, tmp_path_factory):
    """Which page, in light or dark, and what is seen of it at each width."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to look with (apt-get install chromium)")
    make, scheme = request.param
    page = make(tmp_path_factory.mktemp("runs"))
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page)}" style="width: {width}px; height: 2000px; border: 0"></iframe>'
        for width in WIDTHS
    )
    directory = tmp_path_factory.mktemp("page")
    (directory / "frames.html").write_text(LOOK % frames)
    command = [
        CHROMIUM,
        "--headless=new",
        # The sandbox refuses to run as root; the only page that is loaded is ours.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--user-data-dir={directory / 'profile'}",
        # 0 is dark, 1 is light.
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        "--window-size=1400,2400",
        "--dump-dom",
        f"file://{directory / 'frames.html'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    found = re.search(r'<pre id="seen">(\[.*?\])</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return make, scheme, json.loads(html.unescape(found[1]))


def test_colours_follow_the_screen(seen):
    _, scheme, pages = seen
    for page in pages:
        assert (page["background"] < 0.1) == (scheme == "dark")
        # WCAG AA for text.
        assert page["contrast"] >= 4.5


def test_nothing_is_wider_than_the_screen(seen):
    for page, width in zip(seen[2], WIDTHS, strict=True):
        # A scroll bar takes some.
        assert width - 20 <= page["width"] <= width
        assert page["content"] <= page["width"]


def test_every_chart_is_drawn_within_its_frame_and_readable(seen):
    number, part, height = PAGES[seen[0]]
    for page, width in zip(seen[2], WIDTHS, strict=True):
        assert len(page["charts"]) == number
        for chart in page["charts"]:
            assert chart["drawn"] > 0, chart
            assert not chart["broken"], chart
            assert not chart["outside"], chart
            assert 0.7 * min(width, 900 * part) < chart["width"] <= width, chart
            assert chart["height"] >= height, chart
            assert chart["tick"] >= 9, chart


def test_every_chart_has_its_figures_without_a_mouse(seen):
    for page in seen[2]:
        assert len(page["tables"]) == PAGES[seen[0]][0]
        assert all(page["tables"])
