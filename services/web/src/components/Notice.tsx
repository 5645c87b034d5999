import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import type { ReactNode } from 'react';
import { usePageTitle } from './usePageTitle';

interface NoticeProps {
  title: string;
  children: ReactNode;
  action?: ReactNode;
}

/** A whole page that says one thing. */
export function Notice({ title, children, action }: NoticeProps) {
  usePageTitle(title);
  return (
    <Box sx={{ maxWidth: 480, mx: 'auto', my: 10, px: 3, textAlign: 'center' }}>
      <Typography variant="h1" gutterBottom>
        {title}
      </Typography>
      <Typography color="textSecondary" sx={{ mb: 3 }}>
        {children}
      </Typography>
      {action}
    </Box>
  );
}
