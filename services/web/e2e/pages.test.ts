import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { VIN } from './vehicles';
import {
  ended,
  fillEcu,
  logIn,
  newPage,
  openBrowser,
  openForm,
  openVehicle,
  send,
  sendStream,
  show,
  violations,
} from './visit';

let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());

const { url } = inject('system');

const PAGES = [
  ['/', 'Dashboard'],
  ['/vehicles', 'Vehicles'],
  ['/commands', 'History'],
  ['/audit', 'Audit'],
  ['/users', 'Users'],
  ['/profile', 'Profile'],
  ['/nowhere', 'There is nothing at this address'],
] as const;

/** What a page must never do: ask somebody else, or write an error to the console. */
function watchTrouble(page: Page): string[] {
  const trouble: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('blob:')) trouble.push(request.url());
  });
  page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
  return trouble;
}

/** As it is, light and dark. */
async function expectNoBarriers(page: Page, where: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.locator(`html[data-theme=${colorScheme}]`).waitFor();
    expect([where, colorScheme, await violations(page)]).toEqual([where, colorScheme, []]);
  }
}

/** What the dialog holds, then away with it. */
async function checkDialog(page: Page, name: string | RegExp): Promise<void> {
  const dialog = page.getByRole('dialog', { name });
  await dialog.waitFor();
  await expectNoBarriers(page, String(name));
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
}

async function checkUserDialogs(page: Page): Promise<void> {
  await show(page, '/users', 'Users');
  await page.getByRole('button', { name: 'New user' }).click();
  await checkDialog(page, 'New user');
  for (const [action, title] of [
    ['Edit, change role', 'Edit engineer'],
    ['Reset the password', 'Reset the password of engineer'],
    ['Deactivate', 'Deactivate engineer?'],
  ] as const) {
    await page.getByRole('button', { name: 'Actions for engineer', exact: true }).click();
    await page.getByRole('menuitem', { name: action }).click();
    await checkDialog(page, title);
  }
  await page.keyboard.press('?');
  await checkDialog(page, 'Keyboard');
}

it('no page and no dialog has a barrier that axe finds, asks a third party or says an error', async () => {
  const page = await newPage(browser);
  const trouble = watchTrouble(page);
  await page.goto('/login');
  await page.getByLabel('Username').waitFor();
  await expectNoBarriers(page, '/login');
  await logIn(page, 'admin');
  for (const [path, title] of PAGES) {
    await show(page, path, title);
    await expectNoBarriers(page, path);
  }
  await checkUserDialogs(page);
  await openVehicle(page, VIN);
  await page.getByRole('button', { name: 'Read all fault memories' }).click();
  await page.getByRole('region', { name: 'Fault memory' }).getByText('P0420-11').first().waitFor();
  await page.getByRole('button', { name: 'Read all fault memories' }).waitFor();
  await expectNoBarriers(page, 'vehicle');
  await openForm(page, VIN, 'ClearDTC');
  await fillEcu(page, '0x10');
  await expectNoBarriers(page, '/commands/new');
  await send(page);
  await checkDialog(page, 'Send ClearDTC?');
  await sendStream(page, VIN, 100, 1);
  await ended(page);
  await page.getByRole('img', { name: /^engineSpeed over time/ }).waitFor();
  await expectNoBarriers(page, 'command');
  expect(trouble).toEqual([]);
  await page.context().close();
});
