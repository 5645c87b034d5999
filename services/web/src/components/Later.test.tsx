import { render, screen } from '@testing-library/react';
import { renderToString } from 'react-dom/server';
import { expect, it } from 'vitest';
import { Later } from './Later';

const page = (
  <main>
    now <Later>and then</Later>
  </main>
);

it('is not part of what is drawn first', () => {
  expect(renderToString(page)).toBe('<main>now </main>');
});

it('comes right after', () => {
  render(page);
  expect(screen.getByRole('main').textContent).toBe('now and then');
});
