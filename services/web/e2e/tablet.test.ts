import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Api } from './control';
import { VIN } from './vehicles';
import { ended, logIn, newPage, openBrowser, show } from './visit';

let browser: Browser;
let command: string;
let vehicle: string;

beforeAll(async () => {
  browser = await openBrowser();
  const api = await Api.logIn('admin');
  vehicle = `/vehicles/${await api.vehicleId(VIN)}`;
  command = `/commands/${(await api.send(VIN, 'ReadDTC', { ecuAddress: '0x10' })).command_id}`;
});
afterAll(() => browser.close());

const pages = (): [path: string, title: string][] => [
  ['/', 'Dashboard'],
  ['/vehicles', 'Vehicles'],
  [vehicle, VIN],
  ['/commands/new', 'New command'],
  ['/commands', 'History'],
  [command, 'ReadDTC'],
  ['/audit', 'Audit'],
  ['/users', 'Users'],
  ['/profile', 'Profile'],
];

/** So much of the page lies beyond its right edge. */
function overhang(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

describe.each([
  ['upright', { width: 820, height: 1180 }],
  ['lying', { width: 1180, height: 820 }],
])('on a tablet, %s', (_, viewport) => {
  it('every page fits its width, and the navigation leads everywhere', async () => {
    const page = await newPage(browser, { viewport, hasTouch: true });
    await page.goto('/login');
    await page.getByLabel('Username').waitFor();
    expect(await overhang(page)).toBe(0);
    await logIn(page, 'admin');
    for (const [path, title] of pages()) {
      await show(page, path, title);
      if (path === command) await ended(page);
      expect([path, await overhang(page)]).toEqual([path, 0]);
    }
    for (const name of ['Dashboard', 'Vehicles', 'New command', 'History', 'Audit', 'Users']) {
      await page.getByRole('button', { name: 'Open the navigation' }).tap();
      await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name }).tap();
      await page.getByRole('heading', { name, level: 1 }).waitFor();
      await page.getByRole('navigation', { name: 'Main' }).waitFor({ state: 'hidden' });
    }
    await page.context().close();
  });
});
