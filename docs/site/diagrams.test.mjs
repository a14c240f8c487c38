import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { drawings } from './diagrams.mjs'

test('diagrams are those of their sources', async () => {
  const all = await drawings()
  assert.ok(all.length >= 3)
  for (const [path, svg] of all) {
    assert.equal(readFileSync(path, 'utf8'), svg, `${path}: make diagrams draws it anew`)
  }
})
