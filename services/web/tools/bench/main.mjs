/** `node bench/main.mjs ADDRESS FILE`: measures the web interface at ADDRESS, prints it, and writes it as JSON to FILE. */
import { writeFileSync } from 'node:fs';
import { Api } from '../api.mjs';
import { ENGINEER } from '../browser.mjs';
import { measureFirstAnswer } from './firstAnswer.mjs';
import { measurePage } from './pages.mjs';

const TARGETS = {
  fcp_ms: (value) => value < 1_000,
  tti_ms: (value) => value < 2_000,
  performance: (value) => value >= 95,
  accessibility: (value) => value >= 95,
  'best-practices': (value) => value >= 95,
};
const MOST_BYTES_BEFORE_LOGIN = 250 * 1024;
const MOST_DIFFERENCE_MS = 100;

const [address, file] = process.argv.slice(2);
const { items } = await (await Api.logIn(address, ENGINEER)).get('/commands?command_name=ReadDTC&status=completed');
const pages = {
  'Log in': await measured('Log in', '/login'),
  Dashboard: await measured('Dashboard', '/', ENGINEER),
  Command: await measured('Command', `/commands/${items[0].command_id}`, ENGINEER),
};
const firstAnswer = await measureFirstAnswer(address);
printFirstAnswer(firstAnswer);
writeFileSync(file, JSON.stringify({ pages, first_answer: firstAnswer }, null, 2));
console.log(`written: ${file}`);

async function measured(name, path, username) {
  const page = await measurePage(address, path, username);
  const most = username === undefined ? MOST_BYTES_BEFORE_LOGIN : Infinity;
  const cells = Object.keys(TARGETS).map((id) => cell(page, id));
  console.log([name.padEnd(9), ...cells, bytes(page, most)].join('  '));
  for (const complaint of page.complaints) console.log(`           ${complaint}`);
  return page;
}

function printFirstAnswer({ screen, screen_ms: onScreen, api_ms: byApi, difference_ms: difference }) {
  const verdict = `${difference.toFixed(0)} ms more${mark(difference <= MOST_DIFFERENCE_MS)}`;
  console.log(
    `Send to first answer, medians of ${screen.length}: ${onScreen.toFixed(0)} ms on screen, ` +
      `${byApi.toFixed(0)} ms by the API, ${verdict}`,
  );
}

function cell(page, id) {
  const text = id.endsWith('_ms') ? `${(page[id] / 1000).toFixed(2)} s` : String(page[id]);
  return `${id.replace('_ms', '').toUpperCase()} ${text}${mark(TARGETS[id](page[id]))}`;
}

function bytes({ bytes: count }, most) {
  return `${(count / 1024).toFixed(0)} KB${mark(count <= most)}`;
}

function mark(holds) {
  return holds ? '' : ' (!)';
}
