# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the HTML report looks: light and dark, on a phone and on paper, without anything from elsewhere. Private.

All pairs of text and background have a contrast of at least 4.5 to 1. Nothing is told by colour alone.
"""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --card: #ffffff; --sunk: #eef1f5; --line: #d5dbe3;
  --ink: #17202c; --soft: #535f6e; --link: #0b57b0;
  --pass: #12693a; --warn: #855300; --fail: #b3241c; --skip: #556171;
  --pass-tint: #e2f4e9; --warn-tint: #fdf0d5; --fail-tint: #fde8e6; --skip-tint: #e9edf2;
  --bar: #3d74b8; --before: #8d99a8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e131a; --card: #171e27; --sunk: #10161e; --line: #2f3a48;
    --ink: #e7ecf3; --soft: #a5b1c0; --link: #8abdff;
    --pass: #6bdc9b; --warn: #f4bf5b; --fail: #ff9a91; --skip: #aab6c4;
    --pass-tint: #12301f; --warn-tint: #362809; --fail-tint: #3d1917; --skip-tint: #232c37;
    --bar: #6ea8ee; --before: #77859a;
  }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
.wide { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.to-main { position: absolute; left: -100rem; }
.to-main:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 1; }
h1, h2, h3, p, dl, dd, ul, pre { margin: 0; }
h1 { font-size: clamp(1.6rem, 6vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; }
h2 { font-size: 1.3rem; letter-spacing: -.01em; margin-bottom: .8rem; }
h3 { font-size: 1rem; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
.told { white-space: pre-line; }

.verdict {
  background: var(--card); border-bottom: 1px solid var(--line); border-top: .5rem solid var(--tone); padding: 1.6rem 0;
}
.verdict h1 { color: var(--tone); margin: .2rem 0 .4rem; }
.pass { --tone: var(--pass); --tint: var(--pass-tint); }
.warn { --tone: var(--warn); --tint: var(--warn-tint); }
.fail, .error { --tone: var(--fail); --tint: var(--fail-tint); }
.skip { --tone: var(--skip); --tint: var(--skip-tint); }
.share { display: block; width: 100%; height: .8rem; margin: 1rem 0 .6rem; border-radius: .4rem; }
.share rect { fill: var(--tone); stroke: var(--card); stroke-width: 2px; }
.counts { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; list-style: none; padding: 0; }
.counts b { font-size: 1.1rem; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .8rem 1.5rem; margin-top: 1.2rem;
}
.card > .facts:first-child { margin-top: 0; }
dt { color: var(--soft); font-size: .875rem; }

nav ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; list-style: none; padding: .5rem 0 0; font-size: .9375rem; }
nav a { display: inline-block; padding: .4rem 0; }
section { margin: 1.8rem 0; scroll-margin-top: 1rem; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin-bottom: .8rem;
}
.problem { border-left: .35rem solid var(--tone); }
.problem h3 {
  display: flex; flex-wrap: wrap; gap: .3rem .7rem; align-items: center; margin-bottom: .6rem; font-size: 1.08rem;
}
.problem dl > div + div { margin-top: .6rem; }
.remedy { background: var(--sunk); border-radius: .4rem; padding: .6rem .8rem; }
.badge {
  display: inline-block; padding: .05rem .55rem; border-radius: 1rem; white-space: nowrap; font-size: .8125rem;
  font-weight: 600; background: var(--tint); color: var(--tone); border: 1px solid currentColor;
}
.values { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .875rem; margin-top: .6rem; }
.values div { min-width: 0; }
.values .soft { margin-right: .4rem; }
pre {
  background: var(--sunk); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem;
  overflow: auto; max-height: 22rem;
  font: .8125rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap;
}

details { margin-top: .5rem; }
details.card { margin-top: 0; padding: 0; }
summary { cursor: pointer; padding: .3rem 0; }
.card > summary { padding: .75rem 1rem; }
.card > summary h3 { display: inline; margin-right: .7rem; }
details.card > table { width: calc(100% - 2rem); margin: 0 1rem 1rem; }

table { width: 100%; border-collapse: collapse; }
caption { text-align: left; color: var(--soft); font-size: .875rem; padding: .4rem 0; }
.card > table:first-child caption { padding-top: 0; }
details caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td {
  text-align: left; vertical-align: top; padding: .45rem .6rem .45rem 0; border-top: 1px solid var(--line);
}
thead th { border-top: 0; color: var(--soft); font-size: .8125rem; font-weight: 600; overflow-wrap: normal; }
tbody th { font-weight: 500; min-width: 6.8rem; }
tbody th[colspan] { font-weight: 700; padding-top: 1rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.drawn { width: 45%; padding-right: 0; }
.bar { display: block; width: 100%; height: 1.35rem; overflow: visible; }
.bar .track { fill: var(--sunk); }
.bar .now { fill: var(--bar); }
.bar .tone { fill: var(--tone); }
.bar .range { fill: var(--bar); opacity: .45; }
.bar .before { fill: var(--before); }
.bar .budget { stroke: var(--ink); stroke-width: 2px; stroke-dasharray: 3 2; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin-top: .6rem; font-size: .875rem; color: var(--soft); }
.key svg { display: inline-block; width: 1.6rem; height: .8rem; vertical-align: baseline; margin-right: .35rem; }
footer { border-top: 1px solid var(--line); padding: 1rem 0 2rem; color: var(--soft); font-size: .875rem; }

@media (max-width: 40rem) {
  .verdict { padding: 1.1rem 0; }
  .drawn { width: 30%; }
  .wider { display: none; }
  table { font-size: .9375rem; }
  th, td { padding-right: .4rem; }
  td .badge { font-size: .75rem; padding: 0 .4rem; }
}
@media (forced-colors: active) {
  .badge, .problem, .verdict { border-color: CanvasText; }
  .bar, .share { forced-color-adjust: none; }
}
@media print {
  :root {
    --page: #fff; --card: #fff; --sunk: #f3f4f6; --line: #bbb; --ink: #000; --soft: #444; --link: #000;
    --pass: #12693a; --warn: #855300; --fail: #b3241c; --skip: #556171;
    --pass-tint: #fff; --warn-tint: #fff; --fail-tint: #fff; --skip-tint: #fff; --bar: #3d74b8; --before: #8d99a8;
  }
  body { font-size: 10pt; }
  svg, .verdict, .problem { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  nav, .to-main { display: none; }
  .wide { max-width: none; padding: 0; }
  pre { max-height: none; overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; }
  h2, h3, summary { break-after: avoid; }
  tr, .values, .remedy { break-inside: avoid; }
}
"""
