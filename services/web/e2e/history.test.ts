import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Api, createUser, passwordOf, type List } from './control';
import { SECOND_VIN, VIN } from './vehicles';
import { downloaded, logIn, newPage, openBrowser } from './visit';

let browser: Browser;
let page: Page;
let username: string;

beforeAll(async () => {
  browser = await openBrowser();
  username = await createUser();
  const api = await Api.logIn(username, passwordOf(username));
  const params = { ecuAddress: '0x10', dataId: '0xF190' };
  const sent = [
    await api.send(VIN, 'ReadDataByID', params),
    await api.send(VIN, 'ReadDataByID', { ...params, dataId: '0x1234' }),
    await api.send(SECOND_VIN, 'ReadDataByID', params),
    await api.send(VIN, 'ReadDTC', { ecuAddress: '0x10' }),
  ];
  for (const { command_id: id } of sent) await api.untilEnded(id);
  page = await newPage(browser);
  await logIn(page, username, '/commands');
});
afterAll(() => browser.close());

const rows = () => page.getByRole('region', { name: 'Commands' }).getByRole('row');

async function choose(field: string, option: string): Promise<void> {
  await page.getByRole('combobox', { name: field }).click();
  await page.getByRole('option', { name: option, exact: true }).click();
  await page.keyboard.press('Escape');
}

it('every filter stands in the address, and the file holds what is filtered', async () => {
  await page.getByLabel('Only mine').click();
  await expect.poll(() => rows().count()).toBe(5);
  await choose('Command', 'ReadDataByID');
  await expect.poll(() => rows().count()).toBe(4);
  await choose('Status', 'Completed');
  await expect.poll(() => rows().count()).toBe(3);
  await page.getByLabel('From').fill('2020-01-31T12:00');
  await page.getByRole('combobox', { name: 'Vehicle' }).fill(VIN);
  await page.getByRole('option', { name: VIN }).click();
  await expect.poll(() => rows().count()).toBe(2);

  const search = new URL(page.url()).searchParams;
  expect([...search.keys()].sort()).toEqual(['command_name', 'from', 'status', 'user_id', 'vehicle_id']);
  await page.reload();
  await expect.poll(() => rows().count()).toBe(2);

  const csv = await downloaded(page, () => page.getByRole('button', { name: 'Export CSV' }).click());
  const [head, ...lines] = csv.trim().split('\r\n');
  expect(head).toMatch(/^command_id,created_at,status,vin,/);
  const api = await Api.logIn(username, passwordOf(username));
  const { items } = await api.get<List<{ command_id: string }>>('/commands', Object.fromEntries(search));
  expect(lines.map((line) => line.split(',')[0])).toEqual(items.map(({ command_id: id }) => id));
  for (const line of lines) expect(line).toMatch(new RegExp(`,completed,${VIN},.*,ReadDataByID,.*,${username},`));
});

it('the filters are taken back with one click', async () => {
  await page.goto('/commands?status=completed&command_name=ReadDTC&status=failed');
  await page.getByRole('button', { name: 'Completed' }).waitFor();
  await page.getByRole('button', { name: 'Failed' }).waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect.poll(() => new URL(page.url()).search).toBe('');
  await expect.poll(() => rows().count()).toBeGreaterThanOrEqual(5);
});

it('a filter that nothing matches says so', async () => {
  await page.goto('/commands?to=2020-01-31T12:00:00Z');
  await page.getByText('No command matches these filters').waitFor();
});
