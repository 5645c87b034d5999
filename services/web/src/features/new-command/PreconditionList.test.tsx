import { render } from '@testing-library/react';
import { expect, it } from 'vitest';
import { aCommandType } from '../../testing/samples';
import { PreconditionList } from './PreconditionList';

const ROUTINE = aCommandType({
  name: 'RoutineControl',
  preconditions: [
    { name: 'vehicle speed', comparison: '=', value: 0, unit: 'km/h', when: {} },
    { name: 'supply voltage', comparison: '>=', value: 11.5, unit: 'V', when: { action: 'start' } },
  ],
});

it.each([
  [{ action: 'start' }, 'vehicle speed must be 0 km/h; supply voltage must be at least 11.5 V.'],
  [{ action: 'stop' }, 'vehicle speed must be 0 km/h.'],
])('says of %o what must hold', (params, text) => {
  const { container } = render(<PreconditionList type={ROUTINE} params={params} />);
  expect(container).toHaveTextContent(
    `Looked at right before the vehicle gets it, unless it is exempt: ${text} Otherwise it is refused.`,
  );
});

it('says nothing of what has none', () => {
  const { container } = render(<PreconditionList type={aCommandType()} params={{}} />);
  expect(container).toBeEmptyDOMElement();
});
