/** A browser at the system's door, and what every test does there. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import { chromium, type Browser, type Page } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const VIN = 'WDD1234567890ABCD';
export const OFFLINE_VIN = 'WBA1122334455FFEE';

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
}

export async function newPage(
  browser: Browser,
  address: string,
  colorScheme: 'light' | 'dark' = 'light',
): Promise<Page> {
  const context = await browser.newContext({ baseURL: address, colorScheme, viewport: { width: 1360, height: 900 } });
  context.setDefaultTimeout(15_000);
  return context.newPage();
}

export async function logIn(page: Page, username: 'admin' | 'engineer', path = '/'): Promise<void> {
  await page.goto(path);
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password').fill(`${username}123`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
}

export async function openVehicle(page: Page, vin: string): Promise<void> {
  await page.getByRole('link', { name: 'Vehicles', exact: true }).click();
  await page.getByLabel('VIN, make or model').fill(vin);
  await page.getByRole('link', { name: vin }).click();
  await page.getByRole('heading', { name: 'Identity' }).waitFor();
}

/** The form of a new command for a vehicle, with its type chosen. */
export async function openForm(page: Page, vin: string, type: string): Promise<void> {
  await openVehicle(page, vin);
  await page.getByRole('main').getByRole('link', { name: 'New command' }).click();
  await page.getByRole('combobox', { name: 'Command' }).click();
  await page.getByRole('option', { name: `${type} –` }).click();
  await page.getByLabel('ECU address').waitFor();
}

export async function fillEcu(page: Page, address: string): Promise<void> {
  await page.getByLabel('ECU address').fill(address);
  await page.keyboard.press('Tab');
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
