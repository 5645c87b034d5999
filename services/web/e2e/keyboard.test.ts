import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Api } from './control';
import { hasFocus, step, tabTo, walk, watchFocus } from './focus';
import { SECOND_VIN, VIN } from './vehicles';
import { ended, logIn, newPage, openBrowser, show } from './visit';

let browser: Browser;
let page: Page;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());
beforeEach(async () => {
  page = await newPage(browser);
  await watchFocus(page);
});
afterEach(() => page.context().close());

const type = (text: string) => page.keyboard.type(text);
const press = (key: string) => page.keyboard.press(key);
const heading = (name: string) => page.getByRole('heading', { name, level: 1 });
const field = (name: string) => page.getByRole('combobox', { name });
const button = (name: string | RegExp) => page.getByRole('button', { name });

async function chooseCommand(key: string, name: string): Promise<void> {
  await press('Enter');
  await page.getByRole('option').first().waitFor();
  await press(key);
  await press('Enter');
  await field('Command').getByText(`${name} –`).waitFor();
}

describe('with the keyboard alone', () => {
  it('one logs in, sends a command, thinks again, and reads its answers', async () => {
    await page.goto('/login');
    await expect.poll(() => hasFocus(page.getByLabel('Username'))).toBe(true);
    await type('engineer');
    await step(page);
    await type('engineer123');
    await press('Enter');
    await heading('Dashboard').waitFor();
    await press('g');
    await press('n');
    await heading('New command').waitFor();
    await expect.poll(() => hasFocus(heading('New command'))).toBe(true);

    await tabTo(page, field('Vehicle'));
    await type(SECOND_VIN);
    await page.getByRole('option').nth(1).waitFor({ state: 'detached' });
    await page.getByRole('option', { name: SECOND_VIN }).waitFor();
    await press('ArrowDown');
    await press('Enter');
    await tabTo(page, field('Command'));
    await chooseCommand('c', 'ClearDTC');
    await tabTo(page, field('ECU address'));
    await type('0x10');
    await tabTo(page, button('Send'));
    await press('Enter');

    const dialog = page.getByRole('dialog', { name: 'Send ClearDTC?' });
    await expect.poll(() => hasFocus(dialog.getByRole('button', { name: 'Not now' }))).toBe(true);
    await tabTo(page, dialog.getByRole('button', { name: 'Send ClearDTC' }));
    for (let steps = 0; steps < 4; steps += 1) {
      await step(page);
      expect(await dialog.evaluate((element) => element.contains(document.activeElement))).toBe(true);
    }
    await press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await expect.poll(() => hasFocus(button('Send'))).toBe(true);

    await tabTo(page, field('Command'), 'Shift+Tab');
    await chooseCommand('Home', 'ReadDTC');
    await tabTo(page, button('Send'));
    await press('Enter');
    await heading('ReadDTC').waitFor();
    await ended(page);
    await tabTo(page, page.getByRole('list', { name: 'Answers' }));
    await tabTo(page, button('JSON of answer 2'));
    await press('ArrowUp');
    expect(await hasFocus(button('JSON of answer 1'))).toBe(true);
    await press('Enter');
    await page.getByText('"display_code": "P0171-00"').waitFor();
  });

  it('an answer that one is at stays, while others go on coming', async () => {
    const api = await Api.logIn('engineer');
    const params = { ecuAddress: '0x10', dataIds: ['0xF40C'], interval_ms: 20, duration_s: 60 };
    const { command_id: id } = await api.send(VIN, 'StreamDataByID', params);
    await logIn(page, 'engineer', `/commands/${id}`);
    const answers = page.getByRole('list', { name: 'Answers' });
    const newest = () => answers.getByRole('listitem').last().getAttribute('aria-setsize').then(Number);
    await expect.poll(newest).toBeGreaterThan(50);
    await tabTo(page, answers);
    // The list's way to the answers that just came may be told of when the keyboard is at one already.
    await answers.evaluate((list) => {
      list.addEventListener('focusin', () => setTimeout(() => list.dispatchEvent(new Event('scroll'))));
    });
    await step(page);
    await press('ArrowUp');
    const before = await newest();
    await expect.poll(newest).toBeGreaterThan(before + 50);
    await press('Enter');
    await page.getByText('"name": "engineSpeed"').waitFor();
    // However many there are, they are one place on the way through the page.
    for (let steps = 0; steps < 3; steps += 1) await step(page);
    expect(await answers.evaluate((element) => element.contains(document.activeElement))).toBe(false);

    await tabTo(page, button('Cancel command'), 'Shift+Tab');
    await press('Enter');
    await ended(page);
    // What one was at is gone; the keyboard goes on from there, not from the top of the page.
    expect(await step(page)).not.toContain('Skip');
  });
});

const PAGES = [
  ['/', 'Dashboard'],
  ['/vehicles', 'Vehicles'],
  ['/commands/new?type=ReadDTC', 'New command'],
  ['/commands', 'History'],
  ['/audit', 'Audit'],
  ['/users', 'Users'],
  ['/profile', 'Profile'],
] as const;

it('the keyboard reaches all of a page, is seen everywhere, and leaves it again', async () => {
  await logIn(page, 'admin');
  for (const [path, title] of PAGES) {
    await show(page, path, title);
    const reachable = await page.evaluate(() => window.focusWatch.reachable());
    const { size } = await walk(page);
    expect(size, path).toBeGreaterThanOrEqual(reachable);
  }
});
