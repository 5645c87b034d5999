import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Gateway } from './gateway';
import { fillEcu, logIn, newPage, OFFLINE_VIN, openBrowser, openForm, openVehicle, VIN } from './visit';

let gateway: Gateway;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
});
afterAll(async () => {
  await browser.close();
  await gateway.stop();
});
beforeEach(async () => {
  page = await newPage(browser, gateway.address);
});
afterEach(() => page.context().close());

const send = () => page.getByRole('button', { name: /^Send/ }).click();
const ended = (on = page) => on.getByText('All answers are here').waitFor();

describe('logging in', () => {
  it('leads back to the page one wanted, and survives a reload', async () => {
    await logIn(page, 'engineer', '/vehicles?status=offline');
    await page.getByRole('link', { name: OFFLINE_VIN }).waitFor();
    expect(new URL(page.url()).search).toBe('?status=offline');
    await page.reload();
    await page.getByRole('link', { name: OFFLINE_VIN }).waitFor();
    expect(await page.evaluate(() => [window.localStorage.length, window.sessionStorage.length])).toEqual([0, 0]);
  });

  it('with a wrong password says so', async () => {
    await page.goto('/login');
    await page.getByLabel('Username').fill('engineer');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('The username or the password is wrong.').waitFor();
  });

  it('is asked for again when the session was ended elsewhere', async () => {
    await logIn(page, 'engineer', '/vehicles');
    await page.context().clearCookies({ name: 'sovd_refresh' });
    await page.reload();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    expect(new URL(page.url()).searchParams.get('returnTo')).toBe('/vehicles');
  });
});

describe('a command', () => {
  it('is sent, and its answers come in order', async () => {
    await logIn(page, 'engineer');
    await openForm(page, VIN, 'ReadDTC');
    await fillEcu(page, '0x10');
    await send();
    await ended();
    const answers = page.getByRole('list', { name: 'Answers' }).getByRole('listitem');
    await expect.poll(() => answers.count()).toBeGreaterThanOrEqual(3);
    await page.getByText('P0420-11').waitFor();
    await page.getByText('2 faults in all').waitFor();
    await page.getByRole('button', { name: 'JSON of answer 1' }).click();
    await page.getByText('"display_code": "P0420-11"').waitFor();
  });

  it('shows a late viewer the same', async () => {
    await logIn(page, 'engineer');
    await openForm(page, VIN, 'ReadDTC');
    await fillEcu(page, '0x10');
    await send();
    await ended();
    const late = await newPage(browser, gateway.address);
    await logIn(late, 'admin', new URL(page.url()).pathname);
    await ended(late);
    const textOf = (on: Page) => on.getByRole('list', { name: 'Answers' }).innerText();
    expect(await textOf(late)).toBe(await textOf(page));
    await late.context().close();
  });

  it('with wrong parameters is refused at the field', async () => {
    await logIn(page, 'engineer');
    await openForm(page, VIN, 'ReadDTC');
    await fillEcu(page, 'sixteen');
    await send();
    await page.getByText('should be: Address of the ECU').waitFor();
    expect(new URL(page.url()).pathname).toBe('/commands/new');
  });

  it('that cannot be repeated is confirmed first', async () => {
    await logIn(page, 'engineer');
    await openForm(page, VIN, 'ClearDTC');
    await fillEcu(page, '0x60');
    await send();
    const dialog = page.getByRole('dialog', { name: 'Send ClearDTC?' });
    await dialog.getByText(VIN).waitFor();
    await dialog.getByText('Stored faults with their snapshots are erased').waitFor();
    await dialog.getByRole('button', { name: 'Send ClearDTC' }).click();
    await ended();
    await page.getByRole('heading', { name: 'ClearDTC' }).waitFor();
  });

  it('for a vehicle that is away waits, and can be cancelled', async () => {
    await logIn(page, 'engineer');
    await openForm(page, OFFLINE_VIN, 'ReadDTC');
    await page.getByText('The command will run when it returns, until').waitFor();
    await fillEcu(page, '0x10');
    await send();
    await page.getByText('It runs as soon as the vehicle is there').waitFor();
    await page.getByRole('button', { name: 'Cancel command' }).click();
    await page.getByText('Cancelled before it reached the vehicle.').waitFor();
  });

  it('goes on without loss or repetition when the system is killed in mid-stream', async () => {
    await logIn(page, 'engineer');
    await openForm(page, VIN, 'StreamDataByID');
    await fillEcu(page, '0x10');
    await page.getByLabel('Data ID').fill('0xF40C');
    await page.getByLabel('Interval (ms)').fill('100');
    await page.getByLabel('Duration (s)').fill('8');
    await send();
    await page.getByRole('list', { name: 'Answers' }).getByText('#5', { exact: true }).waitFor();
    await gateway.kill();
    await page.getByText('Reconnecting…').waitFor();
    await gateway.begin();
    await page.getByText('All answers are here').waitFor({ timeout: 90_000 });
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page
        .getByRole('button', { name: 'Export' })
        .click()
        .then(() => page.getByRole('menuitem', { name: 'Download JSON' }).click()),
    ]);
    const text = await (await import('node:fs/promises')).readFile(await download.path(), 'utf8');
    const numbers = (JSON.parse(text) as { sequence_number: number }[]).map(({ sequence_number: number }) => number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(numbers.length).toBeGreaterThan(5);
  });
});

describe('a vehicle', () => {
  it('has all its fault memories read at once', async () => {
    await logIn(page, 'engineer');
    await openVehicle(page, VIN);
    await page.getByRole('button', { name: 'Read all fault memories' }).click();
    await page.getByText('The fault memories of 6 ECUs were read.').waitFor();
    await page.getByRole('region', { name: 'Fault memory' }).getByText('P0420-11').first().waitFor();
  });
});
