import { describe, expect, it } from 'vitest';
import type { ResponseEvent } from '../../live/events';
import { answersCsv, answersJson } from './exportAnswers';
import { plotSeries } from './plotSeries';

function answer(sequence: number, body: unknown, milliseconds = 0): ResponseEvent {
  const receivedAt = new Date(Date.UTC(2026, 0, 31) + milliseconds).toISOString();
  return { kind: 'response', commandId: 'c', sequence, attempt: 1, body, receivedAt };
}

describe('an export', () => {
  it('as JSON is what the API lists', () => {
    expect(JSON.parse(answersJson([answer(1, { a: [1] })]))).toEqual([
      { sequence_number: 1, attempt: 1, response: { a: [1] }, received_at: '2026-01-31T00:00:00.000Z' },
    ]);
  });

  it('as CSV spreads objects over columns', () => {
    const csv = answersCsv([answer(1, { code: 'P1', status: { testFailed: true } }), answer(2, { count: 1 })]);
    expect(csv.split('\r\n')).toEqual([
      'sequence_number,attempt,received_at,code,status.testFailed,count',
      '1,1,2026-01-31T00:00:00.000Z,P1,true,',
      '2,1,2026-01-31T00:00:00.000Z,,,1',
      '',
    ]);
  });

  it('as CSV gives a spreadsheet no formula to run', () => {
    expect(answersCsv([answer(1, { a: '=1+1', b: 'x,"y"' })])).toContain(`'=1+1,"x,""y"""`);
    const formulas = ["-2+3+cmd|' /C calc'!A0", '-1e', '-1\n=1', '+1', '-A1', '@A1'];
    const cells = answersCsv(formulas.map((a, index) => answer(index + 1, { a }))).split(/\r\n/);
    for (const cell of cells.slice(1, -1)) expect(cell).toMatch(/Z,"?'/);
  });

  it('as CSV leaves plain numbers what they are', () => {
    const csv = answersCsv([answer(1, { a: -40, b: '-12.5', c: -1e-7, d: '-0' })]);
    expect(csv).toContain('Z,-40,-12.5,-1e-7,-0\r\n');
  });
});

describe('plotSeries', () => {
  const data = (id: string, value: unknown) => ({ id, raw: '0x00', value, unit: 'V', name: `name of ${id}` });

  it('makes one series per data identifier', () => {
    const series = plotSeries([answer(1, data('a', 1)), answer(2, data('b', 5)), answer(3, data('a', 2), 500)], 100);
    expect(series).toMatchObject([
      { id: 'a', seconds: [0, 0.5], values: [1, 2], latest: 2, unit: 'V' },
      { id: 'b', values: [5] },
    ]);
  });

  it('takes bytes that nobody has explained for a number, and says so', () => {
    const series = plotSeries([answer(1, { id: 'a', raw: '0x0F65' }), answer(2, { id: 'b', raw: '0x' })], 100);
    expect(series).toMatchObject([{ id: 'a', values: [3941], unit: 'raw' }]);
  });

  it('leaves out what is no number', () => {
    expect(plotSeries([answer(1, data('a', 'text')), answer(2, null), answer(3, data('a', Infinity))], 100)).toEqual(
      [],
    );
  });

  it('thins out without losing a peak', () => {
    const answers = Array.from({ length: 10_000 }, (_, index) =>
      answer(index + 1, data('a', index === 7_777 ? 99 : 0), index),
    );
    const values = plotSeries(answers, 200)[0]?.values ?? [];
    expect(values.length).toBeLessThanOrEqual(200);
    expect(values).toContain(99);
  });
});
