// The Markdown files of the repository, the pages that they become, and their links.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { slug } from 'github-slugger'
import MarkdownIt from 'markdown-it'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const repository = 'https://github.com/sqsonce/sqsonce'

// Pages outside of docs.
const others = {
  'README.md': 'index.md',
  'DESIGN.md': 'design.md',
  'BENCHMARKS.md': 'benchmarks.md',
  'CHANGELOG.md': 'changelog.md',
  'CONTRIBUTING.md': 'contributing.md',
}

/** pageOf returns the Markdown file that a file has on the site, or undefined if it has none. */
export function pageOf(file) {
  const page = others[file] ?? (file.startsWith('docs/') && file.endsWith('.md') ? file.slice('docs/'.length) : undefined)
  return page?.replace(/(^|\/)README\.md$/, '$1index.md')
}

/** documents lists the files whose links are checked, relative to a repository. */
export function documents(dir = root) {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md', 'llms.txt'], { cwd: dir, encoding: 'utf8' })
  return list.split('\0').filter((file) => file && existsSync(posix.join(dir, file)))
}

const external = /^([a-z][a-z0-9+.-]*:|\/\/)/i

/** target returns the file and the anchor that a link of a file leads to, or undefined if the link is external. */
export function target(file, href) {
  if (external.test(href)) return undefined
  const [path, anchor] = decodeURI(href).split('#')
  return { path: path === '' ? file : posix.join(posix.dirname(file), path), anchor }
}

/** siteLink returns a link of a file as it is on the site: to a page, or to the file in the repository. */
export function siteLink(file, href) {
  const to = target(file, href)
  if (!to || href.startsWith('#')) return href
  const page = pageOf(to.path)
  const anchor = to.anchor === undefined ? '' : '#' + to.anchor
  if (page) return '/' + page + anchor
  return `${repository}/blob/main/${to.path}${anchor}`
}

const parser = new MarkdownIt({ html: true })
const attributes = (html, names) => [...html.matchAll(new RegExp(`\\s(?:${names})=["']([^"']*)["']`, 'gi'))].map((m) => m[1])

/** read returns the links and the anchors of a Markdown text. Each link has its line. */
export function read(text) {
  const links = []
  const anchors = new Set()
  const seen = new Map()
  let line = 1
  const visit = (tokens) => {
    tokens.forEach((token, i) => {
      if (token.map) line = token.map[0] + 1
      if (token.type === 'heading_open') anchors.add(unique(seen, headingText(tokens[i + 1])))
      if (token.type === 'link_open') links.push({ href: token.attrGet('href'), line })
      if (token.type === 'image') links.push({ href: token.attrGet('src'), line })
      if (token.type.startsWith('html')) {
        attributes(token.content, 'href|src|srcset').forEach((href) => links.push({ href, line }))
        attributes(token.content, 'id|name').forEach((id) => anchors.add(id))
      }
      if (token.children) visit(token.children)
    })
  }
  visit(parser.parse(text, {}))
  return { links, anchors }
}

const headingText = (inline) => inline.children.filter((t) => t.type === 'text' || t.type === 'code_inline').map((t) => t.content).join('')

// unique numbers the repeated headings of a page as GitHub does.
function unique(seen, heading) {
  const id = slug(heading)
  const n = seen.get(id) ?? 0
  seen.set(id, n + 1)
  return n === 0 ? id : `${id}-${n}`
}

/** deadLinks returns a line for every link of the documents that leads nowhere. */
export function deadLinks(dir = root) {
  const contents = new Map(documents(dir).map((file) => [file, read(readFileSync(posix.join(dir, file), 'utf8'))]))
  const dead = []
  for (const [file, { links }] of contents) {
    for (const { href, line } of links) {
      const to = target(file, href)
      if (!to) continue
      const problem = to.path.startsWith('..') || !existsSync(posix.join(dir, to.path))
        ? 'no such file'
        : to.anchor && contents.has(to.path) && !contents.get(to.path).anchors.has(to.anchor) ? 'no such heading' : ''
      if (problem) dead.push(`${file}:${line}: ${href}: ${problem}`)
    }
  }
  return dead
}
