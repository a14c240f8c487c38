// Reports links in the Markdown of the repository that lead to no file or heading.
import { deadLinks } from './repository.mjs'

const dead = deadLinks()
dead.forEach((line) => console.error(line))
process.exitCode = dead.length > 0 ? 1 : 0
