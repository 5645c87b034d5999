import { render, screen } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { expect, it, vi } from 'vitest';
import { aCommandType, aVehicle } from '../../testing/samples';
import { SubmitConfirmation } from './SubmitConfirmation';

const CLEAR = aCommandType({ name: 'ClearDTC', command_class: 'write', repeatable: false });

function open(params = {}) {
  const [onConfirm, onClose] = [vi.fn(), vi.fn()];
  const parts = { type: CLEAR, vehicle: aVehicle(), params, onConfirm, onClose };
  render(<SubmitConfirmation open {...parts} />);
  return { onConfirm, onClose };
}

it('names the vehicle, what is sent and what it does', () => {
  open({ dtcCode: 'P0420-11', ecuAddress: '0x10' });
  const dialog = screen.getByRole('dialog', { name: 'Send ClearDTC?' });
  expect(dialog).toHaveTextContent('Mercedes E-Class WDD1234567890ABCD');
  expect(dialog).toHaveTextContent('ecuAddress 0x10 (ECM) · dtcCode P0420-11');
  expect(dialog).toHaveTextContent('Stored faults with their snapshots are erased');
});

it('sends nothing while the key that opened it repeats', async () => {
  const { onConfirm } = open();
  await userEvent.keyboard('{Enter>8/}');
  expect(onConfirm).not.toHaveBeenCalled();
});

it('sends on the button that says so, one step further', async () => {
  const { onConfirm, onClose } = open();
  await userEvent.keyboard('{Tab}{Enter}');
  expect(onConfirm).toHaveBeenCalledOnce();
  expect(onClose).not.toHaveBeenCalled();
});

it.each(['{Escape}', 'Not now'])('%s sends nothing', async (way) => {
  const { onConfirm, onClose } = open();
  if (way === '{Escape}') await userEvent.keyboard(way);
  else await userEvent.click(screen.getByRole('button', { name: way }));
  expect(onConfirm).not.toHaveBeenCalled();
  expect(onClose).toHaveBeenCalledOnce();
});
