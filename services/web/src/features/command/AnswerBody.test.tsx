import { ThemeProvider } from '@mui/material/styles';
import { render, screen, within } from '@testing-library/react';
import { expect, it } from 'vitest';
import { theme } from '../../theme/theme';
import { AnswerBody } from './AnswerBody';

function show(body: unknown) {
  return render(
    <ThemeProvider theme={theme}>
      <AnswerBody body={body} />
    </ThemeProvider>,
  );
}

const FAULT = {
  ecuAddress: '0x10',
  code: '0x042011',
  display_code: 'P0420-11',
  fault_name: 'Catalyst system efficiency below threshold',
  severity: 2,
  status: { testFailed: true, confirmedDTC: true, pendingDTC: false, raw: '0x09' },
};

it('spells out a fault and the status bits that are set', () => {
  show(FAULT);
  expect(screen.getByText('P0420-11')).toBeVisible();
  expect(screen.getByText('Error')).toBeVisible();
  const bits = within(screen.getByRole('list', { name: 'Status' })).getAllByRole('listitem');
  expect(bits.map(({ textContent }) => textContent)).toEqual(['Test failed', 'Confirmed', '0x09']);
});

it('gives a value its unit and its bytes', () => {
  show({ id: '0xF40C', name: 'engineSpeed', raw: '0x0F65', value: 985.25, unit: '1/min' });
  expect(screen.getByText('985.25 1/min')).toBeVisible();
  expect(screen.getByText('0x0F65')).toBeVisible();
});

it('shows the bytes alone where nobody has said what they mean', () => {
  const { container } = show({ ecuAddress: '0x10', id: '0xF40C', raw: '0x0F65' });
  expect(container).toHaveTextContent(/^0xF40C 0x0F65$/);
});

it.each([
  [0, 'No faults stored in ECU 0x10'],
  [1, '1 fault in all in ECU 0x10'],
  [3, '3 faults in all in ECU 0x10'],
])('counts %d', (count, text) => {
  const { container } = show({ ecuAddress: '0x10', count });
  expect(container).toHaveTextContent(text);
});

it('tells what became of a routine, besides what it returned', () => {
  const { container } = show({ ecuAddress: '0x10', id: '0x0301', name: 'selfTest', raw: '0x', status: 'running' });
  expect(container).toHaveTextContent(/^0x0301 selfTest0xstatus running$/);
});

it('tells what a scan found of an ECU', () => {
  const { container } = show({ ecuAddress: '0x10', name: 'ECM', part_number: 'A2749004', software_version: '4.12.0' });
  expect(container).toHaveTextContent(/^ECM 0x10Part number A2749004Software 4.12.0$/);
});

it('tells which ECU did what was asked, where that is all there is to say', () => {
  const { container } = show({ ecuAddress: '0x18' });
  expect(container).toHaveTextContent(/^ECU 0x18$/);
});

it('counts what is not of one ECU', () => {
  const { container } = show({ count: 6 });
  expect(container).toHaveTextContent(/^6 in all$/);
});

it.each([
  [{ note: '<img src=x onerror=alert(1)>' }, 'note <img src=x onerror=alert(1)>'],
  ['only a text', 'only a text'],
  [[1, { a: null }], '[1,{"a":null}]'],
])('shows what it does not know as text: %j', (body, text) => {
  const { container } = show(body);
  expect(container).toHaveTextContent(text);
  expect(container.querySelector('img')).toBeNull();
});
