/** Fails when the log-in page needs more than it may: what index.html loads, and the font, compressed as it travels. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT = 250 * 1024;
const DIST = join(import.meta.dirname, '..', 'dist');

const page = readFileSync(join(DIST, 'index.html'), 'utf8');
const linked = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, file]) => file);
const font = readdirSync(join(DIST, 'assets')).find((file) => /inter-latin-wght-normal.*\.woff2$/.test(file));
const files = ['index.html', ...linked, `assets/${font}`];

let total = 0;
for (const file of files) {
  const size = gzipSync(readFileSync(join(DIST, file))).length;
  total += size;
  console.log(`${(size / 1024).toFixed(1).padStart(7)} KB  ${file}`);
}
console.log(
  `${(total / 1024).toFixed(1).padStart(7)} KB  before the log-in page can be used (at most ${LIMIT / 1024})`,
);
process.exitCode = total > LIMIT ? 1 : 0;
