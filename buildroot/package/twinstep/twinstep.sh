#!/bin/sh
# The command of the appliance. Source maps make a stack trace worth keeping.
exec /usr/bin/node --enable-source-maps /usr/lib/twinstep/dist/firmware/cli/twinstep.js "$@"
