import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Api, createUser, passwordOf } from './control';
import { OFFLINE_VIN } from './vehicles';
import { atLogin, fillLogin, logIn, newPage, openBrowser } from './visit';

let browser: Browser;
let page: Page;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());
beforeEach(async () => {
  page = await newPage(browser);
});
afterEach(() => page.context().close());

const OFFLINE_VEHICLES = '/vehicles?status=offline';

async function atOfflineVehicles(): Promise<void> {
  await page.getByRole('link', { name: OFFLINE_VIN }).waitFor();
  expect(page.url().endsWith(OFFLINE_VEHICLES)).toBe(true);
}

describe('logging in', () => {
  it('leads back to the page one wanted, and survives a reload without anything in web storage', async () => {
    await logIn(page, 'engineer', OFFLINE_VEHICLES);
    await atOfflineVehicles();
    await page.reload();
    await atOfflineVehicles();
    expect(await page.evaluate(() => [window.localStorage.length, window.sessionStorage.length])).toEqual([0, 0]);
  });

  it('with a wrong password says so', async () => {
    await page.goto('/login');
    await fillLogin(page, 'engineer', 'wrong');
    await page.getByText('The username or the password is wrong.').waitFor();
  });

  it('out ends it for this browser', async () => {
    await logIn(page, 'engineer', '/profile');
    await page.getByRole('button', { name: 'Log out' }).click();
    await atLogin(page);
    await page.goto('/profile');
    await atLogin(page);
  });
});

describe('a session that was ended elsewhere', () => {
  it('is told of at once, and logging in leads back to where one was', async () => {
    const username = await createUser();
    await logIn(page, username, OFFLINE_VEHICLES);
    await atOfflineVehicles();
    await (await Api.logIn(username, passwordOf(username))).endOtherSessions();
    await page.getByText('Your session has ended. Log in to go on where you were.').waitFor();
    await fillLogin(page, username);
    await atOfflineVehicles();
  });

  it('is noticed after a reload', async () => {
    await logIn(page, 'engineer', OFFLINE_VEHICLES);
    await page.context().clearCookies({ name: 'sovd_refresh' });
    await page.reload();
    await atLogin(page);
    expect(new URL(page.url()).searchParams.get('returnTo')).toBe(OFFLINE_VEHICLES);
  });
});

describe('a page that is not for the role', () => {
  it.each(['/users', '/audit'])('%s tells an engineer so', async (path) => {
    await logIn(page, 'engineer', path);
    await page.getByText('It needs the role admin; you have the role engineer.').waitFor();
    expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
  });

  it('/commands/new tells a viewer so', async () => {
    await logIn(page, await createUser('viewer'), '/commands/new');
    await page.getByText('It needs the role engineer; you have the role viewer.').waitFor();
    expect(await page.getByRole('link', { name: 'New command' }).count()).toBe(0);
  });
});
