/** `make up`, as somebody sees it who is new here: the same pages, out of one process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, it } from 'vitest';
import { PYTHON, REPOSITORY } from './system';
import { VIN } from './vehicles';
import { ended, fillEcu, logIn, newPage, openBrowser, openForm, send } from './visit';

let browser: Browser;
let embedded: ChildProcess;
let baseURL: string;
const data = mkdtempSync(join(tmpdir(), 'sovd-e2e-'));

beforeAll(async () => {
  browser = await openBrowser();
  const args = ['-m', 'sovd_cli', 'up', '--port', '0', '--data-dir', data];
  const env = { ...process.env, PYTHONPATH: join(REPOSITORY, 'services') };
  const up = spawn(PYTHON, args, { env, cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'inherit'] });
  embedded = up;
  for await (const line of createInterface(up.stdout)) {
    const address = /http:\/\/\S+:\d+/.exec(line);
    if (address !== null) [baseURL] = address;
    if (line.includes('Ctrl-C')) return;
  }
  throw new Error('the embedded system did not start');
});
afterAll(async () => {
  await browser.close();
  embedded.kill('SIGINT');
  await once(embedded, 'exit');
  rmSync(data, { recursive: true });
});

it('from the log-in to the answers', async () => {
  const page = await newPage(browser, { baseURL });
  await logIn(page, 'engineer');
  await page.getByRole('link', { name: /Vehicles online 2/ }).waitFor();
  await openForm(page, VIN, 'ReadDTC');
  await fillEcu(page, '0x10');
  await send(page);
  await ended(page);
  await page.getByRole('heading', { name: '3 answers' }).waitFor();
  await page.getByText('2 faults in all').waitFor();
});
