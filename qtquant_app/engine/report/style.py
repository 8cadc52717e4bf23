"""How the page looks, in light and in dark, on screen and on paper; and the script that sorts its tables."""

STYLE = """
:root { color-scheme: light dark; --back: #fcfcfb; --text: #1d1d1f; --faint: #6a6a70; --line: #d9d9dc; --soft: #f1f1ef;
  --accent: #2f5fb3; }
@media (prefers-color-scheme: dark) { :root { --back: #1c1c1e; --text: #ececee; --faint: #a2a2a8; --line: #3c3c40;
  --soft: #29292c; --accent: #86aef5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 32px 64px; max-width: 1280px; background: var(--back); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 18px; margin: 40px 0 8px; }
h3 { font-size: 14px; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; max-width: 90ch; } .faint, caption, figcaption { color: var(--faint); }
.scroll { overflow-x: auto; } .scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; } th, td { padding: 3px 12px 3px 0; text-align: left; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; border-bottom: 1px solid var(--line); vertical-align: bottom; }
td { border-bottom: 1px solid var(--soft); } .n { text-align: right; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\25B2"; } th[aria-sort=descending] button::after { content: " \\25BC"; }
details { border-top: 1px solid var(--line); } summary { cursor: pointer; padding: 6px 0; font-weight: 600; }
svg { display: block; } svg text { fill: var(--text); font: 11px system-ui, sans-serif; }
svg .faint { fill: var(--faint); } svg .grid { stroke: var(--line); stroke-width: 1; fill: none; }
svg .empty { fill: var(--soft); } svg .mark { fill: none; stroke: var(--text); stroke-width: 1.5; }
svg .line { fill: none; stroke-width: 1.75; } svg .k0 { stroke: #3b74c9; } svg .k1 { stroke: #c98a14; }
svg .k2 { stroke: #7a52c7; } svg .k3 { stroke: #2a9aa5; } svg .k4 { stroke: #c4548f; } svg .k5 { stroke: #7d7d84; }
.charts, .cards { display: grid; gap: 24px; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); }
figure { margin: 0; } img { width: 100%; max-width: 512px; image-rendering: pixelated; border: 1px solid var(--line); }
.keys span { margin-right: 16px; white-space: nowrap; } .keys svg { display: inline-block; vertical-align: middle; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; } dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; } details > * { display: block; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sorted")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const key = (row) => {
        const cell = row.cells[column];
        return "key" in cell.dataset ? Number(cell.dataset.key.replace("inf", "Infinity")) : cell.textContent;
      };
      const kind = (value) => (typeof value === "number" ? 0 : 1);
      const order = (a, b) => kind(a) - kind(b)
        || (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort((a, b) => (up ? 1 : -1) * order(a[0], b[0]));
      body.append(...rows.map((pair) => pair[1]));
    });
  });
}
"""
