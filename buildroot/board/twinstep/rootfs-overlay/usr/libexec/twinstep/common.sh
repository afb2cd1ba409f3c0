# shellcheck shell=sh
# What the scripts beside this file share. Sourced, never run.
# shellcheck disable=SC2034 # used by those who source it

PATH=/usr/sbin:/usr/bin:/sbin:/bin
DATA=/data
HOME_DIR="$DATA/twinstep"
CONF="$HOME_DIR/appliance.conf"
BOARD_TOML="$HOME_DIR/board.toml"
RUN=/run/twinstep
PARTITIONS=/dev/twinstep
ESP=/boot-efi

# To the log alone: the technician's line belongs to the console.
say() {
	logger -t "${0##*/}" -p daemon.notice -- "$*"
}

# conf KEY [DEFAULT]: a value of appliance.conf. The file is read, never executed.
conf() {
	conf_value=""
	if [ -r "$CONF" ]; then
		conf_value=$(sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}[[:space:]]*\$/\1/p" "$CONF" | tail -n 1)
	fi
	printf '%s' "${conf_value:-${2:-}}"
}

# toml SECTION KEY [DEFAULT]: a text of board.toml, as people and the console write it.
toml() {
	toml_value=$(awk -v section="[$1]" -v key="$2" '
		{ gsub(/^[ \t]+|[ \t\r]+$/, "") }
		/^\[/ { inside = (index($0, section) == 1); next }
		inside && match($0, "^" key "[ \t]*=[ \t]*") {
			value = substr($0, RLENGTH + 1)
			quote = substr(value, 1, 1)
			value = substr(value, 2)
			print substr(value, 1, index(value, quote) - 1)
			exit
		}' "$BOARD_TOML")
	printf '%s' "${toml_value:-${3:-}}"
}

# give_order WORD: into the pipe of orders; fails when nobody reads it.
give_order() {
	[ -p "$RUN/orders" ] || return 1
	printf '%s\n' "$1" | timeout 10 dd of="$RUN/orders" conv=notrunc 2>/dev/null
}

is_mounted() {
	awk -v at="$1" '$5 == at { found = 1 } END { exit !found }' /proc/self/mountinfo
}

# Without its state a board does not know which reign it has seen: it must not take part.
data_is_ready() {
	is_mounted "$DATA" && [ -d "$HOME_DIR/state" ]
}

is_commissioned() {
	[ -s "$BOARD_TOML" ]
}

booted_slot() {
	sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' /proc/cmdline
}

other_slot() {
	if [ "$(booted_slot)" = A ]; then echo B; else echo A; fi
}

image_version() {
	sed -n 's/^VERSION="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release
}

# with_boot_partition COMMAND...: writable for as long as the command runs, every write at once.
with_boot_partition() {
	mount -t vfat -o rw,sync,nosuid,nodev,noexec,umask=077 "$PARTITIONS/efi" "$ESP" || return 1
	"$@"
	with_status=$?
	umount "$ESP"
	return "$with_status"
}
