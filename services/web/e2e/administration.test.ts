import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { createUser } from './control';
import { atLogin, fillLogin, logIn, newPage, openBrowser, show } from './visit';

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

const FIRST_PASSWORD = 'correct horse battery';
const SECOND_PASSWORD = 'staple of the battery';

async function act(username: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${username}` }).click();
  await page.getByRole('menuitem', { name: action }).click();
}

async function createByForm(username: string): Promise<void> {
  await page.getByRole('button', { name: 'New user' }).click();
  const dialog = page.getByRole('dialog', { name: 'New user' });
  await dialog.getByLabel('Username').fill(username);
  await dialog.getByLabel('Full name').fill('A Technician');
  await dialog.getByLabel('E-mail').fill(`${username}@example.com`);
  await dialog.getByLabel('First password').fill(FIRST_PASSWORD);
  await dialog.getByRole('button', { name: 'Create user' }).click();
}

describe('a user', () => {
  it('is created, gets another role, another password, and is deactivated; each ends their session at once', async () => {
    const username = 'technician';
    const theirs = await newPage(browser);
    await logIn(page, 'admin', '/users');
    await createByForm(username);
    await page.getByText(`${username} can log in now.`).waitFor();
    await logIn(theirs, username, '/', FIRST_PASSWORD);
    await theirs.getByRole('link', { name: 'New command' }).first().waitFor();

    await act(username, 'Edit, change role');
    await page.getByRole('dialog').getByLabel('Role').click();
    await page.getByRole('option', { name: 'viewer' }).click();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText(`${username} has the role viewer; they have to log in again.`).waitFor();
    await atLogin(theirs);
    await fillLogin(theirs, username, FIRST_PASSWORD);
    await theirs.getByRole('link', { name: 'History' }).first().waitFor();
    expect(await theirs.getByRole('link', { name: 'New command' }).count()).toBe(0);

    await act(username, 'Reset the password');
    await page.getByRole('dialog').getByLabel('New password').fill(SECOND_PASSWORD);
    await page.getByRole('button', { name: 'Reset password' }).click();
    await page.getByText(`${username} has a new password; their sessions have ended.`).waitFor();
    await atLogin(theirs);
    await fillLogin(theirs, username, FIRST_PASSWORD);
    await theirs.getByText('The username or the password is wrong.').waitFor();
    await fillLogin(theirs, username, SECOND_PASSWORD);
    await theirs.getByRole('link', { name: 'History' }).first().waitFor();

    await act(username, 'Deactivate');
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).click();
    await page.getByText(`${username} is deactivated.`).waitFor();
    await atLogin(theirs);
    await fillLogin(theirs, username, SECOND_PASSWORD);
    await theirs.getByText('The username or the password is wrong.').waitFor();
    await theirs.context().close();
  });

  it('that cannot be created is refused, and the form is kept', async () => {
    const taken = await createUser();
    await logIn(page, 'admin', '/users');
    await createByForm(taken);
    const dialog = page.getByRole('dialog', { name: 'New user' });
    await dialog.getByRole('alert').waitFor();
    await dialog.getByLabel('Username').fill('no blanks allowed');
    await dialog.getByRole('button', { name: 'Create user' }).click();
    await expect.poll(() => dialog.getByLabel('Username').getAttribute('aria-invalid')).toBe('true');
    expect(await dialog.getByLabel('First password').inputValue()).toBe(FIRST_PASSWORD);
  });
});

describe('the audit trail', () => {
  it('shows who did what, and that its chain of hashes is intact', async () => {
    const username = await createUser();
    await logIn(page, 'admin', '/audit');
    await page.getByText(/The chain is intact: [\d,]+ entries verified/).waitFor();
    await page.getByLabel('Action, such as user.login').fill('user.created');
    const rows = page.getByRole('region', { name: 'Audit trail' }).getByRole('row');
    await rows.nth(1).getByRole('cell', { name: 'user.created' }).waitFor();
    expect(new URL(page.url()).searchParams.get('action')).toBe('user.created');
    await rows.nth(1).getByRole('button', { name: 'Details' }).click();
    await page.getByText(`"username":"${username}"`).waitFor();
    await page.getByRole('button', { name: 'Verify again' }).click();
    await page.getByText(/The chain is intact/).waitFor();
  });
});

describe('the profile', () => {
  it('changes the password, which ends the other sessions', async () => {
    const username = await createUser();
    const elsewhere = await newPage(browser);
    await Promise.all([logIn(page, username, '/profile'), logIn(elsewhere, username)]);
    await page.getByLabel('Current password').fill('not this one');
    await page.getByLabel('New password').fill(SECOND_PASSWORD);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Current password').fill(`${username}123`);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('Your password is changed; your other sessions have ended.').waitFor();
    await atLogin(elsewhere);
    await fillLogin(elsewhere, username, SECOND_PASSWORD);
    await elsewhere.locator('#main').waitFor();
    await elsewhere.context().close();
  });

  it('ends another session', async () => {
    const username = await createUser();
    const elsewhere = await newPage(browser);
    await logIn(elsewhere, username);
    await logIn(page, username);
    await show(page, '/profile', 'Profile');
    const sessions = page.getByRole('region', { name: 'Table of your sessions' }).getByRole('row');
    await expect.poll(() => sessions.count()).toBe(3);
    await page.getByRole('button', { name: 'End', exact: true }).click();
    await page.getByText('The session has ended.').waitFor();
    await atLogin(elsewhere);
    await expect.poll(() => sessions.count()).toBe(2);
    await sessions.getByText('This session').waitFor();
    await elsewhere.context().close();
  });
});
