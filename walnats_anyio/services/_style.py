"""The style sheet of the page."""

from __future__ import annotations

from walnats_anyio.services._markup import Markup

STYLE = Markup("""
:root {
  color-scheme: light dark;
  --page: #ffffff; --text: #1c1917; --soft: #57534e; --line: #d6d3d1; --panel: #fafaf9;
  --link: #1d4ed8; --focus: #b45309;
  --service: #f4f4f5; --service-line: #71717a;
  --event: #ffedd5; --event-line: #c2410c;
  --actor: #dbeafe; --actor-line: #1d4ed8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #1c1917; --text: #f5f5f4; --soft: #d6d3d1; --line: #57534e; --panel: #292524;
    --link: #93c5fd; --focus: #fcd34d;
    --service: #3f3f46; --service-line: #a1a1aa;
    --event: #582f12; --event-line: #fb923c;
    --actor: #172d5c; --actor-line: #60a5fa;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .wide:focus-visible {
  outline: 3px solid var(--focus); outline-offset: 2px;
}
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem; background: var(--page); z-index: 1; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.1rem; margin: 0; }
h4 { font-size: .95rem; margin: 1rem 0 .25rem; }
code, pre, svg text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code { font-size: .9em; }
pre { margin: .5rem 0 0; padding: .75rem; overflow-x: auto; background: var(--page);
  border: 1px solid var(--line); border-radius: .4rem; font-size: .85rem; overflow-wrap: normal; }
p { margin: .5rem 0; }
.text { white-space: pre-line; }
.soft { color: var(--soft); }
.card { margin: 1rem 0; padding: 1rem; background: var(--panel); border: 1px solid var(--line);
  border-left-width: .35rem; border-radius: .5rem; }
.card.service { border-left-color: var(--service-line); }
.card.event { border-left-color: var(--event-line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { font-weight: 600; color: var(--soft); overflow-wrap: normal; }
tbody th { font-weight: 400; }
td { white-space: pre-line; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; }
ul { margin: .25rem 0; padding-left: 1.25rem; }
details { margin-top: .75rem; }
summary { cursor: pointer; color: var(--link); }
.constraint { display: block; color: var(--soft); font-size: .9em; }
nav { margin-bottom: 1rem; }
nav ul { list-style: none; padding: 0; margin: 0; display: flex; gap: .25rem 1.25rem; }
nav li li { padding-left: .9rem; }
nav ul ul { display: none; }
@media (max-width: 40rem) {
  table, tbody, tr, th, td { display: block; }
  thead { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .35rem 0; }
  th, td { border: 0; padding: .05rem 0; }
  tbody th { font-weight: 600; }
  td:empty { display: none; }
  td[data-column]::before { content: attr(data-column) ": "; color: var(--soft); }
  .constraint { margin-left: 1rem; }
}
svg { display: block; width: 100%; min-width: 46rem; max-width: 62rem; height: auto; }
svg text { font-size: 12px; text-anchor: middle; fill: var(--text); }
svg a { text-decoration: none; }
svg rect { stroke-width: 1.5; }
svg path { fill: none; stroke: var(--soft); stroke-width: 1.5; }
svg .service rect { fill: var(--service); stroke: var(--service-line); }
svg .event rect { fill: var(--event); stroke: var(--event-line); }
svg .actor rect { fill: var(--actor); stroke: var(--actor-line); }
svg a:focus-visible rect { stroke: var(--focus); stroke-width: 3; }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 15rem minmax(0, 62rem); column-gap: 2.5rem;
    padding: 2rem; justify-content: center; }
  nav { position: sticky; top: 2rem; align-self: start; max-height: calc(100vh - 4rem);
    overflow-y: auto; }
  nav ul, nav ul ul { display: block; }
}
@media print {
  :root {
    --page: #ffffff; --text: #000000; --soft: #333333; --line: #999999; --panel: #ffffff;
    --link: #000000; --service: #ffffff; --event: #ffffff; --actor: #ffffff;
    --service-line: #666666; --event-line: #333333; --actor-line: #333333;
  }
  body { display: block; padding: 0; font-size: 10pt; }
  nav, .skip, details { display: none; }
  .card, tr { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  .wide { overflow: visible; }
  svg { min-width: 0; }
  pre { white-space: pre-wrap; }
}
""")
