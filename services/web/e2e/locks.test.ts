import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Api, createUser } from './control';
import { SECOND_VIN } from './vehicles';
import { fillEcu, logIn, newPage, openBrowser, openForm, openVehicle, send } from './visit';

let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());

async function at(username: string): Promise<Page> {
  const page = await newPage(browser);
  await logIn(page, username);
  await openVehicle(page, SECOND_VIN);
  return page;
}

it('a lock is seen by all as it comes and goes, keeps others out, and is broken by an admin', async () => {
  const [ownerName, otherName] = [await createUser(), await createUser()];
  const [owner, other, admin] = [await at(ownerName), await at(otherName), await at('admin')];
  await owner.getByRole('button', { name: 'Lock for 15 minutes' }).click();
  await owner.getByText('You have locked this vehicle until').waitFor();
  await other.getByText(`${ownerName} has locked this vehicle until`).waitFor();
  expect(await other.getByRole('button', { name: 'Break the lock…' }).count()).toBe(0);

  await openForm(other, SECOND_VIN, 'ClearDTC');
  await other.getByText('ClearDTC would change it, and would be refused.').waitFor();
  await fillEcu(other, '0x60');
  await send(other);
  await other.getByRole('button', { name: 'Send ClearDTC' }).click();
  await other
    .getByRole('alert')
    .filter({ hasText: `is locked by ${ownerName} until` })
    .waitFor();

  await admin.getByRole('button', { name: 'Break the lock…' }).click();
  await admin.getByRole('button', { name: 'Break the lock', exact: true }).click();
  await owner.getByText('Nobody has locked this vehicle.').waitFor();
  await other.getByText('ClearDTC would change it, and would be refused.').waitFor({ state: 'detached' });
  const api = await Api.logIn('admin');
  const { items } = await api.get<{ items: { action: string }[] }>('/audit', { limit: '50' });
  const actions = items.map(({ action }) => action);
  expect(actions).toEqual(expect.arrayContaining(['vehicle.lock_taken', 'command.refused', 'vehicle.lock_broken']));
  for (const page of [owner, other, admin]) await page.context().close();
});
