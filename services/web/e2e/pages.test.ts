import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gateway } from './gateway';
import { fillEcu, logIn, newPage, openBrowser, openForm, openVehicle, VIN, violations } from './visit';

let gateway: Gateway;
let browser: Browser;

beforeAll(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
});
afterAll(async () => {
  await browser.close();
  await gateway.stop();
});

const PAGES = [
  ['/', 'Dashboard'],
  ['/vehicles', 'Vehicles'],
  ['/commands', 'History'],
  ['/audit', 'Audit'],
  ['/users', 'Users'],
  ['/profile', 'Profile'],
  ['/nowhere', 'There is nothing at this address'],
] as const;

async function show(page: Page, path: string, title: string): Promise<void> {
  await page.goto(path);
  await page.getByRole('heading', { name: title, level: 1 }).waitFor();
  await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'detached' });
}

async function sendStream(page: Page): Promise<void> {
  await fillEcu(page, '0x10');
  await page.getByLabel('Data ID').fill('0xF40C');
  await page.getByLabel('Interval (ms)').fill('100');
  await page.getByLabel('Duration (s)').fill('1');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('All answers are here').waitFor();
  await page.getByRole('img', { name: /^engineSpeed over time/ }).waitFor();
}

describe.each(['light', 'dark'] as const)('%s', (scheme) => {
  it('no page has a barrier that axe finds, asks a third party or says an error', async () => {
    const page = await newPage(browser, gateway.address, scheme);
    const trouble: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(gateway.address) && !request.url().startsWith('blob:')) trouble.push(request.url());
    });
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    await page.goto('/login');
    await page.getByLabel('Username').waitFor();
    expect(await violations(page)).toEqual([]);
    await logIn(page, 'admin');
    for (const [path, title] of PAGES) {
      await show(page, path, title);
      expect([path, await violations(page)]).toEqual([path, []]);
    }
    await openVehicle(page, VIN);
    await page.getByRole('button', { name: 'Read all fault memories' }).click();
    await page.getByRole('region', { name: 'Fault memory' }).getByText('P0420-11').first().waitFor();
    await page.getByRole('button', { name: 'Read all fault memories' }).waitFor();
    expect(await violations(page)).toEqual([]);
    await openForm(page, VIN, 'StreamDataByID');
    expect(await violations(page)).toEqual([]);
    await sendStream(page);
    expect(await violations(page)).toEqual([]);
    expect(trouble).toEqual([]);
    await page.context().close();
  });
});

describe('roles', () => {
  it('an engineer is told that a page is not for them', async () => {
    const page = await newPage(browser, gateway.address);
    await logIn(page, 'engineer', '/users');
    await page.getByText('It needs the role admin; you have the role engineer.').waitFor();
    expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
    await page.context().close();
  });

  it('a user who is deactivated is out at once', async () => {
    const [admin, other] = [await newPage(browser, gateway.address), await newPage(browser, gateway.address)];
    await logIn(other, 'engineer');
    await logIn(admin, 'admin', '/users');
    await admin.getByRole('button', { name: 'Actions for engineer' }).click();
    await admin.getByRole('menuitem', { name: 'Deactivate' }).click();
    await admin.getByRole('button', { name: 'Deactivate' }).click();
    await admin.getByText('engineer is deactivated.').waitFor();
    await other.getByRole('button', { name: 'Log in' }).waitFor();
    await admin.context().close();
    await other.context().close();
  });
});
