/** The vehicles that the tests send commands to. */
export const VIN = 'WDD1234567890ABCD';
export const SECOND_VIN = 'WDD0987654321ZYXW';
/** Takes its time between its answers, so that each is seen to come, and after the last. */
export const SLOW_VIN = 'WDDSLW00000000001';
/** Away until a test tells it to come. */
export const OFFLINE_VIN = 'WBA1122334455FFEE';
/** Ways to a vehicle (tests/support/roads.py), each with one at its end. */
export const WAYS = ['session', 'doip', 'sovd', 'agent-doip'] as const;

/** As vehicle_simulator/faults.py reads them. */
export const FAULTS = [
  `slow:vin=${SLOW_VIN},command=ReadDTC,seconds=0.3,between=0.8`,
  `slow:vin=${SLOW_VIN},command=ClearDTC,between=4`,
  `garbage:vin=${SLOW_VIN},command=ReadDTCDetails`,
].join(';');
