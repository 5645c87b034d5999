import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Api, tell, type List } from './control';
import { OFFLINE_VIN, SECOND_VIN, SLOW_VIN, VIN } from './vehicles';
import {
  downloaded,
  ended,
  fillEcu,
  loggedIn,
  logIn,
  newPage,
  openBrowser,
  openForm,
  openVehicle,
  send,
  sendStream,
  show,
} from './visit';

let browser: Browser;
let engineer: BrowserContext;
let page: Page;

beforeAll(async () => {
  browser = await openBrowser();
  engineer = await loggedIn(browser, 'engineer');
});
afterAll(() => browser.close());
beforeEach(async () => {
  page = await engineer.newPage();
  await page.goto('/');
});
afterEach(() => page.close());

const answers = () => page.getByRole('list', { name: 'Answers' }).getByRole('listitem');

/** Notes, from now on, each number of answers that is on the page and the status beside it. */
async function watchAnswersCome(): Promise<() => Promise<[number, string][]>> {
  await page.evaluate(() => {
    const seen: [number, string][] = [];
    const look = () => {
      const count = document.querySelectorAll('[aria-label=Answers] [role=listitem]').length;
      const status = document.querySelector('[role=status][aria-label="Status of the command"]')?.textContent ?? '';
      if (count > (seen.at(-1)?.[0] ?? 0)) seen.push([count, status]);
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    Object.assign(window, { seen });
  });
  return () => page.evaluate(() => (window as unknown as { seen: [number, string][] }).seen);
}

describe('a command', () => {
  it('is sent, and its answers come one by one', async () => {
    await engineer.clearCookies();
    await logIn(page, 'engineer');
    await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
    await page.getByRole('link', { name: /Vehicles online/ }).waitFor();
    await openForm(page, SLOW_VIN, 'ReadDTC');
    await fillEcu(page, '0x10');
    const seen = await watchAnswersCome();
    await send(page);
    await ended(page);
    expect(await seen()).toEqual([
      [1, 'In progress'],
      [2, 'In progress'],
      [3, 'In progress'],
    ]);
    await page.getByText('P0420-11').waitFor();
    await page.getByText('2 faults in all').waitFor();
    await page.getByRole('listitem').getByText('Completed').waitFor();
    await page.getByRole('button', { name: 'JSON of answer 1' }).click();
    await page.getByText('"display_code": "P0420-11"').waitFor();
  });

  it('shows a late viewer the same', async () => {
    await sendStream(page, VIN, 200, 2);
    await answers().first().waitFor();
    const late = await newPage(browser);
    await logIn(late, 'admin', new URL(page.url()).pathname);
    await Promise.all([ended(page), ended(late)]);
    const [mine, theirs] = [await exported(page), await exported(late)];
    expect(numbers(read(mine))).toEqual(upTo(10));
    expect(theirs).toBe(mine);
    await late.context().close();
  });

  it('with wrong parameters is refused at the field', async () => {
    await openForm(page, VIN, 'ReadDataByID');
    await fillEcu(page, 'sixteen');
    await page.getByLabel('Data ID').fill('F190');
    await send(page);
    await page.getByText('should be: Address of the ECU').waitFor();
    for (const label of ['ECU address', 'Data ID']) {
      expect(await page.getByLabel(label).getAttribute('aria-invalid')).toBe('true');
    }
    expect(new URL(page.url()).pathname).toBe('/commands/new');
  });

  it('that the ECU refuses says which negative response that was', async () => {
    await openForm(page, VIN, 'ReadDataByID');
    await fillEcu(page, '0x10');
    await page.getByLabel('Data ID').fill('0x1234');
    await send(page);
    const refusal = page.getByRole('alert').filter({ hasText: 'Failed: NEGATIVE_RESPONSE' });
    await refusal.getByText('The ECU refused. 0x31 requestOutOfRange: data identifier 0x1234').waitFor();
  });

  it('that cannot be repeated is confirmed first, and names the vehicle and the effect', async () => {
    await openForm(page, SECOND_VIN, 'ClearDTC');
    await fillEcu(page, '0x60');
    await send(page);
    const dialog = page.getByRole('dialog', { name: 'Send ClearDTC?' });
    await dialog.getByText(SECOND_VIN).waitFor();
    await dialog.getByText('ecuAddress 0x60').waitFor();
    await dialog.getByText('Stored faults with their snapshots are erased').waitFor();
    await dialog.getByRole('button', { name: 'Not now' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(new URL(page.url()).pathname).toBe('/commands/new');
    await send(page);
    await dialog.getByRole('button', { name: 'Send ClearDTC' }).click();
    await ended(page);
    await page.getByRole('heading', { name: 'ClearDTC' }).waitFor();
  });

  it('goes on without loss or repetition when the gateway is killed in mid-stream', async () => {
    await sendStream(page, VIN, 100, 6);
    await answers().getByText('#5', { exact: true }).waitFor();
    await tell('kill', 'gateway');
    await page.getByText('Reconnecting…').waitFor();
    await tell('start', 'gateway');
    await ended(page);
    const recorded = await recordedAnswers(page);
    expect(numbers(recorded)).toEqual(upTo(60));
    expect(read(await exported(page))).toEqual(recorded);
    await page.getByText('The server cannot be reached').waitFor({ state: 'detached' });
  });
});

describe('a vehicle that is away', () => {
  it('is said so before sending, and gets its command when it returns', async () => {
    await openForm(page, OFFLINE_VIN, 'ReadDTC');
    await page.getByText('The command will run when it returns, until').waitFor();
    await fillEcu(page, '0x10');
    await page.getByRole('button', { name: 'Send, to run when it returns' }).click();
    await page.getByText('It runs as soon as the vehicle is there').waitFor();
    await tell('start', OFFLINE_VIN);
    try {
      await ended(page);
      await page.getByText('2 faults in all').waitFor();
    } finally {
      await tell('terminate', OFFLINE_VIN);
    }
  });
});

describe('a cancel', () => {
  const cancel = () => page.getByRole('button', { name: 'Cancel command' }).click();

  it('before the vehicle has the command prevents it', async () => {
    await openForm(page, OFFLINE_VIN, 'ReadDTC');
    await fillEcu(page, '0x10');
    await send(page);
    await cancel();
    await page.getByText('Cancelled before it reached the vehicle. Nothing was done there.').waitFor();
  });

  it('of a command that runs stops it, and keeps what was answered', async () => {
    await sendStream(page, VIN, 100, 60);
    await answers().getByText('#3', { exact: true }).waitFor();
    await cancel();
    await page.getByText('Cancelled after it had reached the vehicle.').waitFor();
    await ended(page);
    expect(read(await exported(page))).toEqual(await recordedAnswers(page));
  });

  it('that comes too late says that the command completed', async () => {
    await openForm(page, SLOW_VIN, 'ClearDTC');
    await fillEcu(page, '0x60');
    await send(page);
    await page.getByRole('dialog').getByRole('button', { name: 'Send ClearDTC' }).click();
    await answers().first().waitFor();
    await cancel();
    await page.getByText('The vehicle is asked to stop. What comes of it is shown here.').waitFor();
    await page.getByText('A cancel was asked for, but the command completed.').waitFor();
  });
});

describe('a vehicle', () => {
  it('has all its fault memories read at once', async () => {
    await openVehicle(page, VIN);
    await page.getByRole('button', { name: 'Read all fault memories' }).click();
    await page.getByText('The fault memories of 6 ECUs were read.').waitFor();
    await page.getByRole('region', { name: 'Fault memory' }).getByText('P0420-11').first().waitFor();
  });

  it('is scanned for its ECUs, which are known by name from then on', async () => {
    await openVehicle(page, VIN);
    await page.getByRole('button', { name: 'Scan ECUs' }).click();
    await page.getByText('The ECUs were scanned.').waitFor();
    await page.getByRole('region', { name: 'ECUs' }).getByText('A2749004').waitFor();
  });

  it('that nobody knows is told of, as is such a command', async () => {
    const nobody = '01970c3a-6f2e-7d5a-8c1b-0a4f5e6d7c8b';
    await show(page, `/vehicles/${nobody}`, 'There is no such vehicle');
    await show(page, `/commands/${nobody}`, 'There is no such command');
  });
});

function exported(on: Page): Promise<string> {
  return downloaded(on, async () => {
    await on.getByRole('button', { name: 'Export' }).click();
    await on.getByRole('menuitem', { name: 'Download JSON' }).click();
  });
}

interface Answer {
  sequence_number: number;
  attempt: number;
  response: object;
}

function read(json: string): Answer[] {
  return (JSON.parse(json) as Answer[]).map(({ sequence_number, attempt, response }) => ({
    sequence_number,
    attempt,
    response,
  }));
}

const numbers = (answersRead: Answer[]) => answersRead.map(({ sequence_number: number }) => number);

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** What the server has of the command that the page shows. */
async function recordedAnswers(on: Page): Promise<Answer[]> {
  const api = await Api.logIn('engineer');
  const id = new URL(on.url()).pathname.split('/').at(-1) ?? '';
  return read(JSON.stringify((await api.get<List<Answer>>(`/commands/${id}/responses`, { limit: '200' })).items));
}
