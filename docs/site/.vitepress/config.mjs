import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { slug } from 'github-slugger'
import { defineConfig } from 'vitepress'
import { documents, pageOf, repository, root, siteLink } from '../repository.mjs'

const files = documents().filter((file) => file.endsWith('.md'))
const pages = files.filter((file) => pageOf(file))

// The guide by task. The texts are short, because the sidebar is narrow.
const sidebar = [
  group('Start', { 'Overview': '/', 'The worker': '/worker', 'Send and ask': '/producer' }),
  group('Existing queue', {
    'Recipes': '/recipes', 'Several queues': '/several-queues', 'Batches': '/batches', 'Tenants': '/tenants', 'Delays': '/delays',
    'From Powertools': '/powertools',
  }),
  group('Deploy', { 'AWS with ECS': '/deploy', 'Kubernetes': '/kubernetes', 'AWS Lambda': '/lambda', 'Security': '/security', 'Upgrade': '/upgrade' }),
  group('Operate', { 'Console': '/console', 'Runbook': '/runbook', 'Reliability': '/reliability' }),
  group('Library', { 'Without a queue': '/library', 'Package dedupe': '/dedupe', 'Package consumer': '/consumer' }),
  group('Reference', {
    'Flags and environment': '/reference/flags', 'Configuration files': '/reference/configuration', 'Metrics': '/reference/metrics',
    'Errors': '/reference/errors', 'HTTP API': '/reference/http-api', 'DynamoDB': '/dynamodb',
  }),
  group('Design', { 'Design': '/design', 'Decisions': '/decisions/', 'Benchmarks': '/benchmarks', 'Changes': '/changelog', 'Contributing': '/contributing' }),
]

function group(text, links) {
  return { text, items: Object.entries(links).map(([text, link]) => ({ text, link })) }
}

export default defineConfig({
  title: 'sqsonce',
  description: 'An SQS worker that handles every named message once',
  lang: 'en',
  base: process.env.SITE_BASE ?? '/', // such as /sqsonce/ on GitHub Pages
  srcDir: root,
  outDir: join(root, 'dist/site'),
  cacheDir: join(root, '.local/vitepress'),
  srcExclude: ['.local/**', 'dist/**', ...files.filter((file) => !pageOf(file))],
  rewrites: Object.fromEntries(pages.map((file) => [file, pageOf(file)])),
  cleanUrls: true,
  metaChunk: true,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  markdown: {
    anchor: { slugify: slug },
    // Before the link rule of VitePress, which takes links as they are on the site.
    config: (md) => md.core.ruler.push('site-links', ({ tokens, env }) => {
      const file = env.realPath ?? env.path
      const from = file.slice(root.length)
      for (const token of tokens.flatMap((t) => t.children ?? [])) {
        const href = token.type === 'link_open' && token.attrGet('href')
        if (href) token.attrSet('href', siteLink(from, href))
      }
    }),
  },
  // The pages are outside of this package, so they do not find its modules by themselves.
  vite: {
    plugins: [{
      name: 'modules-of-the-site',
      enforce: 'pre',
      resolveId(source, importer, options) {
        if (!/^vue($|\/)/.test(source) || !importer?.startsWith(root) || importer.includes('/node_modules/')) return null
        return this.resolve(source, fileURLToPath(import.meta.url), { ...options, skipSelf: true })
      },
    }],
  },
  themeConfig: {
    sidebar,
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: repository }],
    docFooter: { prev: false, next: false },
  },
  // The search needs the anchors of headings, so an empty index means a fault of the link rule. llms.txt
  // names files of the repository: on the site they are addresses of their Markdown.
  buildEnd: ({ outDir }) => {
    const chunks = join(outDir, 'assets/chunks')
    const index = readdirSync(chunks).find((name) => name.startsWith('@localSearchIndex'))
    if (!/"documentCount":[1-9]/.test(readFileSync(join(chunks, index), 'utf8'))) throw new Error('the search index is empty')
    const raw = repository.replace('github.com', 'raw.githubusercontent.com') + '/main/'
    const text = readFileSync(join(root, 'llms.txt'), 'utf8').replace(/\]\((?!https:)/g, `](${raw}`)
    writeFileSync(join(outDir, 'llms.txt'), text)
  },
})
