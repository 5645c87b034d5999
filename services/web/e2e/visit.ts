/** A browser at the system's door, and what every test does there. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Download,
  type Page,
} from 'playwright-core';
import { inject } from 'vitest';
import { passwordOf } from './control';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

const DESKTOP = { width: 1360, height: 900 };

/** A page of a visitor who is new here: no cookies, nothing cached. */
export async function newPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const { url: baseURL } = inject('system');
  const context = await browser.newContext({ baseURL, viewport: DESKTOP, acceptDownloads: true, ...options });
  // A machine that others use as well takes its time.
  context.setDefaultTimeout(30_000);
  return context.newPage();
}

/** Opens a page, which leads to the log-in, and logs in. */
export async function logIn(page: Page, username: string, path = '/', password = passwordOf(username)): Promise<void> {
  await page.goto(path);
  await fillLogin(page, username, password);
  await page.locator('#main').waitFor();
}

/** A browser in which somebody is logged in, for page after page: the log-in itself is seen elsewhere. */
export async function loggedIn(browser: Browser, username: string): Promise<BrowserContext> {
  const page = await newPage(browser);
  await logIn(page, username);
  await page.close();
  return page.context();
}

export async function fillLogin(page: Page, username: string, password = passwordOf(username)): Promise<void> {
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

export async function atLogin(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Log in' }).waitFor();
}

/** A page of ours, once its content is there. */
export async function show(page: Page, path: string, title: string | RegExp): Promise<void> {
  await page.goto(path);
  await page.getByRole('heading', { name: title, level: 1 }).waitFor();
  await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'detached' });
}

export async function openVehicle(page: Page, vin: string): Promise<void> {
  await page.getByRole('link', { name: 'Vehicles', exact: true }).click();
  await page.getByLabel('VIN, make or model').fill(vin);
  await page.waitForURL((url) => url.searchParams.get('search') === vin);
  // The head and the one that was searched for: while there are others, it may yet move.
  await page.getByRole('row').nth(2).waitFor({ state: 'detached' });
  await page.getByRole('link', { name: vin }).click();
  await page.getByRole('heading', { name: 'Identity' }).waitFor();
}

/** The form of a new command for a vehicle, with its type chosen. */
export async function openForm(page: Page, vin: string, type: string): Promise<void> {
  await openVehicle(page, vin);
  await page.getByRole('main').getByRole('link', { name: 'New command' }).click();
  await chooseCommand(page, type);
  await page.getByLabel('ECU address').waitFor();
}

export async function chooseCommand(page: Page, type: string): Promise<void> {
  await page.getByRole('combobox', { name: 'Command' }).click();
  await page.getByRole('option', { name: `${type} –` }).click();
}

export async function fillEcu(page: Page, address: string): Promise<void> {
  await page.getByLabel('ECU address').fill(address);
  await page.keyboard.press('Tab');
}

export async function send(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^Send/ }).click();
}

/** The command has ended, and all that it answered is on the page. */
export async function ended(page: Page, timeout = 60_000): Promise<void> {
  await page.getByText('All answers are here').waitFor({ timeout });
}

/** A stream of engine data, so often for so long. */
export async function sendStream(page: Page, vin: string, intervalMs: number, seconds: number): Promise<void> {
  await openForm(page, vin, 'StreamDataByID');
  await fillEcu(page, '0x10');
  await page.getByLabel('Data ID').fill('0xF40C');
  await page.getByLabel('Interval (ms)').fill(String(intervalMs));
  await page.getByLabel('Duration (s)').fill(String(seconds));
  await send(page);
}

/** The text of the file that the page offers after `action`. */
export async function downloaded(page: Page, action: () => Promise<void>): Promise<string> {
  const [download] = await Promise.all<[Promise<Download>, Promise<void>]>([page.waitForEvent('download'), action()]);
  return readFileSync(await download.path(), 'utf8');
}

export async function violations(page: Page): Promise<string[]> {
  await page.mouse.move(0, 0);
  // What fades away is faint for a moment.
  await page.locator('[role=tooltip], [role=listbox]').waitFor({ state: 'detached' });
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run(),
  );
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}
