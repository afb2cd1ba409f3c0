// The version of this firmware, as people ask for it.
export { firmwareVersion as version } from '../host/identity.ts';
