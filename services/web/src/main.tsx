import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { session } from './session/session';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');

void session.restore();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
