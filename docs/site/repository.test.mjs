import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deadLinks, pageOf, read, siteLink } from './repository.mjs'

test('dead links are found', () => {
  const dir = mkdtempSync(join(tmpdir(), 'links-'))
  try {
    execFileSync('git', ['init', '-q'], { cwd: dir })
    mkdirSync(join(dir, 'docs'))
    writeFileSync(join(dir, 'README.md'), [
      '# A b, `c`', '[1](docs/a.md#one) [2](docs/a.md#two) [3](#a-b-c) [4](#none)', '',
      '![p](docs/p.png) <img src="docs/q.png"> [5](docs) [6](https://example.com/#x) [7](docs/b.md)', '', '`[8](none.md)`', '',
    ].join('\n'))
    writeFileSync(join(dir, 'docs/a.md'), '# One\n\n## Same\n\n## Same\n\n[up](../README.md) [out](../../x.md) [same](#same-1) [odd](#same-2)\n')
    writeFileSync(join(dir, 'docs/p.png'), '')
    writeFileSync(join(dir, 'llms.txt'), '# X\n\n- [a](docs/a.md): text\n- [b](docs/none.md): text\n')
    assert.deepEqual(deadLinks(dir).sort(), [
      'README.md:2: #none: no such heading',
      'README.md:2: docs/a.md#two: no such heading',
      'README.md:4: docs/b.md: no such file',
      'README.md:4: docs/q.png: no such file',
      'docs/a.md:7: #same-2: no such heading',
      'docs/a.md:7: ../../x.md: no such file',
      'llms.txt:4: docs/none.md: no such file',
    ])
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('anchors are those of GitHub', () => {
  const { anchors } = read('## Flags & `--all`, twice\n\n## Was it?\n\n<a id="here"></a>\n')
  assert.deepEqual([...anchors], ['flags----all-twice', 'was-it', 'here'])
})

test('files become pages', () => {
  for (const [file, page] of [
    ['README.md', 'index.md'], ['DESIGN.md', 'design.md'], ['docs/worker.md', 'worker.md'],
    ['docs/decisions/README.md', 'decisions/index.md'], ['examples/README.md', undefined], ['docs/console.png', undefined],
  ]) assert.equal(pageOf(file), page)
})

test('links lead to pages or to the repository', () => {
  for (const [file, href, want] of [
    ['docs/worker.md', 'producer.md#status', '/producer.md#status'],
    ['docs/worker.md', '../DESIGN.md', '/design.md'],
    ['docs/worker.md', '#stopping', '#stopping'],
    ['README.md', 'examples', 'https://github.com/sqsonce/sqsonce/blob/main/examples'],
    ['README.md', 'https://example.com/a#b', 'https://example.com/a#b'],
  ]) assert.equal(siteLink(file, href), want)
})
