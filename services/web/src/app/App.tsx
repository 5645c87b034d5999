import CssBaseline from '@mui/material/CssBaseline';
import { ThemeProvider } from '@mui/material/styles';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from 'react-router/dom';
import { queryClient } from '../api/queryClient';
import { Toasts } from '../components/Toasts';
import { theme } from '../theme/theme';
import { themeCookie } from '../theme/themeCookie';
import { router } from './router';

export function App() {
  return (
    <ThemeProvider theme={theme} defaultMode="system" storageManager={themeCookie} disableTransitionOnChange>
      <CssBaseline enableColorScheme />
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
        <Toasts />
      </QueryClientProvider>
    </ThemeProvider>
  );
}
