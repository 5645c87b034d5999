/** The whole catalogue, sent by the page's form to a vehicle at the end of each way, and its answers as they are shown. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, it, vi } from 'vitest';
import { Api, type List } from './control';
import { WAYS } from './vehicles';
import { chooseCommand, ended, loggedIn, openBrowser, openVehicle, send } from './visit';

const { ways } = inject('system');

let browser: Browser;
let engineer: BrowserContext;

beforeAll(async () => {
  browser = await openBrowser();
  engineer = await loggedIn(browser, 'engineer');
  await knowDescriptions();
});
afterAll(() => browser.close());

interface Example {
  type: string;
  /** What is typed or chosen, by the fields' labels. */
  fields: Readonly<Record<string, string>>;
  /** What is shown of the answers. */
  shown: readonly (string | RegExp)[];
}

const ECU = { 'ECU address': 'ecm' };
const SPEED = { 'Data ID': '0xF40C' };

/** In this order. What one changes, none of the others reads. */
const EXAMPLES: readonly Example[] = [
  { type: 'ScanECUs', fields: {}, shown: ['ECM 0x10Part number A2749004', '6 in all'] },
  {
    type: 'ReadDTC',
    fields: ECU,
    shown: [
      /P0420-11.*Catalyst system efficiency below threshold.*Error.*Warning indicator requested.*0x/,
      /P0171-00.*System too lean.*Warning/,
      '2 faults in all in ECU 0x10',
    ],
  },
  {
    type: 'ReadDTCDetails',
    fields: { ...ECU, 'DTC code': 'P0420-11' },
    shown: [/P0420-11.*Catalyst.*Snapshot 1.*0xF405 engineCoolantTemperature\d+ °C0x.*Extended data/],
  },
  { type: 'ReadDataByID', fields: { ...ECU, ...SPEED }, shown: [/0xF40C engineSpeed[\d.]+ 1\/min0x[0-9A-F]{4}/] },
  {
    type: 'StreamDataByID',
    fields: { ...ECU, ...SPEED, 'Interval (ms)': '50', 'Duration (s)': '0.5' },
    shown: [/0xF40C engineSpeed[\d.]+ 1\/min/],
  },
  {
    type: 'WriteDataByID',
    fields: { ...ECU, 'Data ID': '0x2001', Value: '0x0320' },
    shown: ['0x0320'],
  },
  {
    type: 'RoutineControl',
    fields: { ...ECU, 'Routine ID': '0x0203', Action: 'start' },
    shown: [/0x0203.*action start/],
  },
  { type: 'ClearDTC', fields: { 'ECU address': '0x18' }, shown: ['ECU 0x18'] },
  { type: 'ECUReset', fields: { ...ECU, 'Reset type': 'soft' }, shown: [/ECU 0x10.*resetType soft/] },
];
const CONFIRMED = ['WriteDataByID', 'RoutineControl', 'ClearDTC', 'ECUReset'];

/** Beside each other: most of the time a menu opens or an ECU takes its time. */
it.concurrent.for(WAYS)('over %s every command is sent, and its answers are told truthfully', async (way) => {
  const vin = ways[way] ?? '';
  const page = await openVehicles();
  await openVehicle(page, vin);
  for (const example of EXAMPLES) {
    await sendByForm(page, example);
    await ended(page);
    await page.getByRole('status', { name: 'Status of the command' }).getByText('Completed').waitFor();
    for (const text of example.shown) await answers(page).filter({ hasText: text }).first().waitFor();
    if (example.type === 'StreamDataByID') {
      await page.getByRole('img', { name: /^engineSpeed over time, now [\d.]+ 1\/min/ }).waitFor();
    }
    if (example.type === 'ScanECUs') {
      await page.getByRole('link', { name: vin }).click();
      const ecus = page.getByRole('region', { name: 'ECUs' });
      await ecus.getByRole('row', { name: /^0x10 ECM A2749004 4.12.0 03.01/ }).waitFor();
    }
  }
  await sendByForm(page, { type: 'ECUReset', fields: { ...ECU, 'Reset type': 'hard' }, shown: [] });
  const refusal = page.getByRole('alert').filter({ hasText: 'Failed: PRECONDITION_FAILED' });
  await refusal.getByText(/Supply voltage is 1[34](\.\d+)? V, must be at least 24 V/).waitFor();
  await page.getByText('It never reached the vehicle').waitFor();
  await page.getByRole('link', { name: vin }).click();
  const faults = page.getByRole('region', { name: 'Fault memory' });
  await faults.filter({ hasText: /ECM 0x10.*2 faults.*P0420-11.*P0171-00/ }).waitFor();
  await page.close();
});

it('why a vehicle is not reached is told on its page and in the list', async () => {
  const vin = 'WDDWAY00000000009';
  const admin = await Api.logIn('admin');
  const link = { kind: 'doip', address: '127.0.0.1:9' };
  await admin.post('/vehicles', { vin, make: 'Bench', model: 'nowhere', year: 2024, link });
  const page = await openVehicles();
  await page.getByLabel('VIN, make or model').fill(vin);
  const row = page.getByRole('row').filter({ hasText: vin });
  await row.getByText(/127\.0\.0\.1/).waitFor();
  await row.getByRole('link', { name: vin }).click();
  const told = /^The vehicle has not been reached since .*127\.0\.0\.1/;
  await page.getByRole('alert').filter({ hasText: told }).waitFor();
  await page.close();
});

it('the catalogue is no larger than what is tried', async () => {
  const api = await Api.logIn('engineer');
  const { items } = await api.get<List<{ name: string }>>('/command-types');
  expect(EXAMPLES.map(({ type }) => type).sort()).toEqual(items.map(({ name }) => name).sort());
});

const answers = (page: Page) => page.getByRole('list', { name: 'Answers' }).getByRole('listitem');

async function openVehicles(): Promise<Page> {
  const page = await engineer.newPage();
  await page.goto('/vehicles');
  return page;
}

async function sendByForm(page: Page, { type, fields }: Example): Promise<void> {
  // On a vehicle's page the one, on a command's page the other.
  const anew = /^(New command|Send again…)$/;
  await page.getByRole('main').getByRole('link', { name: anew }).click();
  await chooseCommand(page, type);
  for (const [label, value] of Object.entries(fields)) await fill(page, label, value);
  await send(page);
  if (CONFIRMED.includes(type)) await page.getByRole('button', { name: `Send ${type}` }).click();
  await page.getByRole('heading', { name: type, level: 1 }).waitFor();
}

async function fill(page: Page, label: string, value: string): Promise<void> {
  const field = page.getByLabel(label);
  const isMenu = (await field.getAttribute('aria-haspopup')) === 'listbox';
  if (!isMenu) {
    await field.fill(value);
    return page.keyboard.press('Tab');
  }
  await field.click();
  await page.getByRole('option', { name: value, exact: true }).click();
}

/** Over DoIP, names and units come from a file that is read while the system starts. */
async function knowDescriptions(): Promise<void> {
  const api = await Api.logIn('engineer');
  const named = async (vin: string) => {
    const { command_id: id } = await api.send(vin, 'ReadDataByID', { ecuAddress: '0x10', dataId: '0xF40C' });
    await api.untilEnded(id);
    const { items } = await api.get<List<{ response: object }>>(`/commands/${id}/responses`);
    return items.some(({ response }) => 'name' in response);
  };
  for (const vin of Object.values(ways)) await vi.waitUntil(() => named(vin), { timeout: 30_000, interval: 100 });
}
