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

# appliance.conf as people make it: CR LF or CR, a byte order mark, UTF-16, blanks, quotes of either kind, a comment
# behind a value. With "want" the value of a key, the last one counts; with "check" what cannot be read, a line each.
CONF_AWK='
BEGIN { blank = "[ \t]" }
{
	if (NR == 1) sub(/^(\357\273\277|\377\376|\376\377)/, "")
	sub(/\r$/, "")
	count = split($0, lines, "\r")
	if (count == 0) number++
	for (n = 1; n <= count; n++) { number++; statement(lines[n]) }
}
END {
	if (want != "") printf "%s", value
	if (near != "") printf "%s", nearest(near, split(keys, known, " "))
}

function statement(line,   key, why) {
	gsub("^" blank "+|" blank "+$", "", line)
	if (line == "" || line ~ /^#/ || line == "\032") return
	if (!match(line, "^[A-Za-z0-9_.-]+" blank "*=")) return wrong("not KEY=VALUE")
	key = substr(line, 1, RLENGTH - 1)
	sub(blank "+$", "", key)
	why = read(substr(line, RLENGTH + 1))
	if (why != "") return wrong(key ": " why)
	if (key == want) value = got
	if (check) judge(key, got)
}

# Into "got"; answers what is wrong.
function read(text,   quote, end) {
	sub("^" blank "+", "", text)
	quote = substr(text, 1, 1)
	if (quote == "\"" || quote == "\047") {
		text = substr(text, 2)
		end = index(text, quote)
		if (end == 0) return "no quote at its end"
		got = substr(text, 1, end - 1)
		text = substr(text, end + 1)
		if (text !~ "^" blank "*(#.*)?$") return "text behind the quote at its end"
	} else {
		sub("(^|" blank "+)#.*$", "", text)
		got = text
	}
	return got ~ /[^ -~]/ ? "letters that are not plain ASCII" : ""
}

function judge(key, text,   count, n, meant) {
	if (key in seen) wrong(key " is there twice")
	seen[key] = 1
	count = split(kinds, known, " ")
	for (n = 1; n <= count; n++) {
		if (substr(known[n], 1, length(key) + 1) != key "=") {
			sub(/=.*/, "", known[n])
			continue
		}
		sub(/.*=/, "", known[n])
		if (text != "" && text !~ form(known[n])) wrong(key ": \"" text "\" is no " known[n])
		return
	}
	meant = nearest(key, count)
	wrong("unknown key " key (meant == "" ? "" : "; did you mean " meant "?"))
}

# Of the words in "known"; empty where none is near.
function nearest(word, count,   n, found, far, least) {
	least = 2
	for (n = 1; n <= count; n++) {
		far = slips(plainly(word), plainly(known[n]))
		if (far > least || (found != "" && far == least)) continue
		found = known[n]
		least = far
	}
	return found
}

function plainly(word) {
	word = toupper(word)
	gsub(/[.-]/, "_", word)
	return word
}

function form(kind,   quad) {
	quad = "[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+"
	if (kind == "name") return "^[A-Za-z0-9][A-Za-z0-9._-]*$"
	if (kind == "word") return "^[^ ]+$"
	if (kind == "list-of-words") return "^[A-Za-z0-9._:-]+( +[A-Za-z0-9._:-]+)*$"
	if (kind == "number") return "^[0-9]+$"
	if (kind == "address") return "^" quad "$"
	if (kind == "address/bits") return "^" quad "/[0-9]+$"
	if (kind == "card") return "^(mac:[0-9A-Fa-f][0-9A-Fa-f]([:-][0-9A-Fa-f][0-9A-Fa-f])+|pci:[0-9A-Fa-f:.]+|[^ :/]+)$"
	return "."
}

# Letters left out, put in, replaced, or exchanged with their neighbour.
function slips(one, other,   i, j, row, least) {
	for (i = 0; i <= length(one); i++) row[i, 0] = i
	for (j = 0; j <= length(other); j++) row[0, j] = j
	for (i = 1; i <= length(one); i++)
		for (j = 1; j <= length(other); j++) {
			least = row[i - 1, j - 1] + (substr(one, i, 1) != substr(other, j, 1))
			if (row[i - 1, j] + 1 < least) least = row[i - 1, j] + 1
			if (row[i, j - 1] + 1 < least) least = row[i, j - 1] + 1
			if (i > 1 && j > 1 && substr(one, i, 1) == substr(other, j - 1, 1) && substr(one, i - 1, 1) == substr(other, j, 1) && row[i - 2, j - 2] + 1 < least)
				least = row[i - 2, j - 2] + 1
			row[i, j] = least
		}
	return row[length(one), length(other)]
}

function wrong(words) { if (check) print number ": " words }
'

# Every key there is, and what it holds.
CONF_KINDS="HOSTNAME=name LOG_NIC=card LOG_MTU=number
FRONT_NIC=card FRONT_ADDRESS=address/bits FRONT_GATEWAY=address GUEST_TAPS=list-of-words
NTP_SERVERS=list-of-words WATCHDOG_DRIVER=word
INDICATOR_REDUNDANT=word INDICATOR_ALARM=word INDICATOR_DISPLAY=word
CONFIRM_AFTER_S=number CONFIRM_LIMIT_S=number"

# Without the zeros of UTF-16, which awk and grep do not take.
plain_text() {
	tr -d '\000' <"$1"
}

# conf KEY [DEFAULT]: a value of appliance.conf. The file is read, never executed.
conf() {
	conf_value=""
	[ ! -r "$CONF" ] || conf_value=$(plain_text "$CONF" | LC_ALL=C awk -v want="$1" "$CONF_AWK")
	printf '%s' "${conf_value:-${2:-}}"
}

# toml SECTION KEY [DEFAULT]: a text of board.toml, as people and the console write it.
toml() {
	toml_value=$(plain_text "$BOARD_TOML" | LC_ALL=C awk -v section="[$1]" -v key="$2" '
		NR == 1 { sub(/^(\357\273\277|\377\376|\376\377)/, "") }
		{ gsub(/^[ \t]+|[ \t\r]+$/, "") }
		/^\[/ { inside = (index($0, section) == 1); next }
		inside && match($0, "^" key "[ \t]*=[ \t]*") {
			value = substr($0, RLENGTH + 1)
			quote = substr(value, 1, 1)
			value = substr(value, 2)
			print substr(value, 1, index(value, quote) - 1)
			exit
		}')
	printf '%s' "${toml_value:-${3:-}}"
}

# number VALUE DEFAULT: the default stands in for what is no number.
number() {
	case "$1" in
		'' | *[!0-9]*) printf '%s' "$2" ;;
		*) printf '%s' "$1" ;;
	esac
}

# conf_faults FILE: what cannot be read in it, "LINE: words" each; nothing when all is well.
conf_faults() {
	conf_kinds=$(printf '%s' "$CONF_KINDS" | tr '\n' ' ')
	plain_text "$1" | LC_ALL=C awk -v check=1 -v kinds="$conf_kinds" "$CONF_AWK"
}

# near_word WORD "KNOWN...": the one that was meant, or nothing.
near_word() {
	LC_ALL=C awk -v near="$1" -v keys="$2" "$CONF_AWK" </dev/null
}

# give_order WORD: into the pipe of orders; fails when nobody reads it.
give_order() {
	[ -p "$RUN/orders" ] || return 1
	printf '%s\n' "$1" | timeout 10 dd of="$RUN/orders" conv=notrunc 2>/dev/null
}

# kvm_module </proc/cpuinfo: the driver of this processor's virtualization, or nothing.
kvm_module() {
	awk '/^flags[ \t]*:/ {
		for (n = 1; n <= NF; n++) if ($n == "vmx") print "kvm_intel"; else if ($n == "svm") print "kvm_amd"
		exit
	}'
}

# kvm_parameters FOLDER: how it keeps page tables, as it took it.
kvm_parameters() {
	for kvm_parameter in ept npt; do
		[ ! -r "$1/$kvm_parameter" ] || printf ', %s=%s' "$kvm_parameter" "$(cat "$1/$kvm_parameter")"
	done
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

# set_grubenv KEY=VALUE...: in place and in one write, as GRUB itself does: no power cut leaves half a file.
set_grubenv() {
	grubenv="$ESP/EFI/BOOT/grubenv"
	LC_ALL=C awk -v changes="$*" '
		BEGIN {
			count = split(changes, change, " ")
			for (n = 1; n <= count; n++) {
				key = substr(change[n], 1, index(change[n], "=") - 1)
				value[key] = substr(change[n], length(key) + 2)
			}
			text = "# GRUB Environment Block\n"
		}
		/^[A-Z_]+=/ {
			key = substr($0, 1, index($0, "=") - 1)
			if (key in value) $0 = key "=" value[key]
			delete value[key]
			text = text $0 "\n"
		}
		END {
			for (key in value) text = text key "=" value[key] "\n"
			while (length(text) < 1024) text = text "#"
			printf "%s", text
		}' "$grubenv" >"$RUN/grubenv" &&
		[ "$(wc -c <"$RUN/grubenv")" -eq 1024 ] &&
		dd if="$RUN/grubenv" of="$grubenv" bs=1024 conv=notrunc 2>/dev/null
}

# with_boot_partition COMMAND...: writable for as long as the command runs, every write at once.
with_boot_partition() {
	mount -t vfat -o rw,sync,nosuid,nodev,noexec,umask=077 "$PARTITIONS/efi" "$ESP" || return 1
	"$@"
	with_status=$?
	umount "$ESP"
	return "$with_status"
}
