import { createBrowserRouter, type RouteObject } from 'react-router';
import { PageLoading } from '../components/PageLoading';
import { LoginPage } from '../features/login/LoginPage';
import { BrokenPage } from './BrokenPage';
import { LoginGuard, RoleGuard } from './guards';
import { NotFoundPage } from './NotFoundPage';
import { pages } from './pages';

const adminPages: RouteObject[] = [
  { path: 'audit', lazy: pages.audit },
  { path: 'users', lazy: pages.users },
];

const userPages: RouteObject[] = [
  { index: true, lazy: pages.dashboard },
  { path: 'vehicles', lazy: pages.vehicles },
  { path: 'vehicles/:vehicleId', lazy: pages.vehicle },
  { path: 'commands', lazy: pages.history },
  { path: 'commands/:commandId', lazy: pages.command },
  { path: 'profile', lazy: pages.profile },
  { element: <RoleGuard needs="engineer" />, children: [{ path: 'commands/new', lazy: pages.newCommand }] },
  { element: <RoleGuard needs="admin" />, children: adminPages },
  { path: '*', element: <NotFoundPage /> },
];

export const router = createBrowserRouter([
  {
    errorElement: <BrokenPage />,
    hydrateFallbackElement: <PageLoading />,
    children: [
      { path: '/login', element: <LoginPage /> },
      {
        element: <LoginGuard />,
        children: [{ lazy: pages.shell, children: [{ errorElement: <BrokenPage />, children: userPages }] }],
      },
    ],
  },
]);
