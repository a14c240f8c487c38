// Draws docs/diagrams/*.dot as SVG, in colours that follow the reader's light or dark scheme.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Graphviz } from '@hpcc-js/wasm-graphviz'
import { root } from './repository.mjs'

const style = `<style>
svg { --text: #24292f; --line: #57606a; --box: #ffffff; --store: #ddf4ff; --final: #dafbe1; --active: #fff8c5; --operator: #8250df; --page: #f6f8fa; --zone: none }
@media (prefers-color-scheme: dark) {
  svg { --text: #e6edf3; --line: #8b949e; --box: #21262d; --store: #12304d; --final: #12361f; --active: #3d3210; --operator: #d2a8ff; --page: #0d1117 }
}
.graph > polygon { fill: var(--page); stroke: none }
text { fill: var(--text); font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
.node path, .node polygon, .node ellipse { fill: var(--box); stroke: var(--line) }
.store path, .store polygon { fill: var(--store) }
.final path { fill: var(--final) }
.active path { fill: var(--active) }
.plain path { fill: none; stroke-dasharray: 4 3 }
.cluster path, .cluster polygon { fill: none; stroke: var(--line); stroke-dasharray: 6 4 }
.edge path { stroke: var(--line) }
.edge polygon { fill: var(--line); stroke: var(--line) }
.operator path { stroke: var(--operator) }
.operator polygon { fill: var(--operator); stroke: var(--operator) }
.operator text { fill: var(--operator) }
.faint path { stroke-dasharray: 2 3 }
</style>`

// Helvetica has the metrics by which Graphviz sizes the boxes.
const defaults = `
  graph [fontname="Helvetica", fontsize=12, pad=0.3, bgcolor="white", style=rounded];
  node [shape=box, style=rounded, fontname="Helvetica", fontsize=13, margin="0.2,0.12"];
  edge [fontname="Helvetica", fontsize=11, arrowsize=0.7];
`

async function draw(dot) {
  const graphviz = await Graphviz.load()
  const svg = graphviz.dot(dot.replace('{', '{' + defaults), 'svg')
  return svg.slice(svg.indexOf('<svg')).replace(/<!--[^]*?-->\n?/g, '').replace(/<title>[^]*?<\/title>\n/g, '').replace(/(<svg[^]*?>)/, `$1\n${style}`)
}

/** drawings returns the name of each SVG file and its text. */
export async function drawings() {
  const dir = join(root, 'docs/diagrams')
  const sources = readdirSync(dir).filter((name) => name.endsWith('.dot'))
  return Promise.all(sources.map(async (name) => [join(dir, name.replace('.dot', '.svg')), await draw(readFileSync(join(dir, name), 'utf8'))]))
}

if (process.argv[1] === import.meta.filename) {
  for (const [path, svg] of await drawings()) writeFileSync(path, svg)
}
