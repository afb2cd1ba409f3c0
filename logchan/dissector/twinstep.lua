-- The Twinstep log channel in Wireshark, by logchan/FORMAT.md. Kind 0x82 occurs in captures only: the
-- copy of a sealed frame that a tap inside a board has opened (its tag is left out).

local twinstep = Proto("twinstep", "Twinstep log channel")

local kinds = { [0x01] = "hello", [0x02] = "sealed", [0x82] = "opened" }
local lanes = { [0] = "log", [1] = "bulk" }
local sections = {
  [0] = "end", [1] = "ack", [2] = "data", [3] = "seen", [4] = "ask", [5] = "probe",
  [6] = "probed", [7] = "bye",
}

local f = twinstep.fields
f.magic = ProtoField.uint16("twinstep.magic", "Magic", base.HEX)
f.version = ProtoField.uint8("twinstep.version", "Version")
f.kind = ProtoField.uint8("twinstep.kind", "Kind", base.HEX, kinds)
f.session = ProtoField.uint32("twinstep.session", "Session", base.HEX)
f.counter = ProtoField.uint64("twinstep.counter", "Counter")
f.body_bytes = ProtoField.uint16("twinstep.body_bytes", "Body bytes")
f.sealed = ProtoField.bytes("twinstep.sealed", "Sealed body")
f.tag = ProtoField.bytes("twinstep.tag", "Tag")
f.padding = ProtoField.bytes("twinstep.padding", "Padding")

f.cluster = ProtoField.bytes("twinstep.hello.cluster", "Cluster")
f.nonce = ProtoField.bytes("twinstep.hello.nonce", "Nonce")
f.echo = ProtoField.bytes("twinstep.hello.echo", "Echo")
f.established = ProtoField.bool("twinstep.hello.established", "Established", 8, nil, 0x01)
f.frame_bytes = ProtoField.uint16("twinstep.hello.frame_bytes", "Largest frame")
f.mac = ProtoField.bytes("twinstep.hello.mac", "MAC")

f.section = ProtoField.uint8("twinstep.section", "Section", base.DEC, sections)
f.lane = ProtoField.uint8("twinstep.lane", "Lane", base.DEC, lanes)
f.ack_offset = ProtoField.uint64("twinstep.ack.offset", "Acknowledged below")
f.ack_bytes = ProtoField.uint32("twinstep.ack.credit_bytes", "Credit in bytes")
f.ack_entries = ProtoField.uint32("twinstep.ack.credit_entries", "Credit in entries")
f.ack_ranges = ProtoField.uint8("twinstep.ack.ranges", "Ranges")
f.ack_gap = ProtoField.uint32("twinstep.ack.gap", "Gap")
f.ack_length = ProtoField.uint32("twinstep.ack.length", "Received beyond it")
f.data_offset = ProtoField.uint64("twinstep.data.offset", "Offset")
f.data_bytes = ProtoField.uint16("twinstep.data.bytes", "Bytes")
f.data = ProtoField.bytes("twinstep.data", "Stream bytes")
f.seen = ProtoField.uint64("twinstep.seen.counter", "Newest counter received")
f.held = ProtoField.uint32("twinstep.seen.held_us", "Held for (us)")
f.probe = ProtoField.uint16("twinstep.probe", "Frame bytes")
f.bye = ProtoField.uint8("twinstep.bye", "Why")

local malformed = ProtoExpert.new("twinstep.malformed", "Not by the format",
  expert.group.MALFORMED, expert.severity.ERROR)
twinstep.experts = { malformed }

local function hello(body, tree)
  tree:add(f.cluster, body(0, 8))
  tree:add(f.nonce, body(8, 32))
  tree:add(f.echo, body(40, 32))
  tree:add(f.established, body(72, 1))
  tree:add(f.frame_bytes, body(74, 2))
  tree:add(f.mac, body(76, 32))
  local is_call = body(40, 32):bytes():tohex():match("^0+$") ~= nil
  if is_call then return "call" end
  return body(72, 1):uint() == 1 and "answer, established" or "answer"
end

-- Each reads one section at `at` and returns where the next begins, and a few words.
local readers = {}

readers[1] = function(body, at, tree)
  tree:add(f.lane, body(at + 1, 1))
  tree:add(f.ack_offset, body(at + 2, 8))
  tree:add(f.ack_bytes, body(at + 10, 4))
  tree:add(f.ack_entries, body(at + 14, 4))
  tree:add(f.ack_ranges, body(at + 18, 1))
  local ranges = body(at + 18, 1):uint()
  for i = 0, ranges - 1 do
    tree:add(f.ack_gap, body(at + 19 + 8 * i, 4))
    tree:add(f.ack_length, body(at + 23 + 8 * i, 4))
  end
  local lane = lanes[body(at + 1, 1):uint()] or "?"
  local words = string.format("%s ack %s", lane, tostring(body(at + 2, 8):uint64()))
  if ranges > 0 then words = words .. " +" .. ranges end
  return at + 19 + 8 * ranges, words
end

readers[2] = function(body, at, tree)
  tree:add(f.lane, body(at + 1, 1))
  tree:add(f.data_offset, body(at + 2, 8))
  tree:add(f.data_bytes, body(at + 10, 2))
  local bytes = body(at + 10, 2):uint()
  tree:add(f.data, body(at + 12, bytes))
  local lane = lanes[body(at + 1, 1):uint()] or "?"
  local words = string.format("%s data %s+%d", lane, tostring(body(at + 2, 8):uint64()), bytes)
  return at + 12 + bytes, words
end

readers[3] = function(body, at, tree)
  tree:add(f.seen, body(at + 1, 6))
  tree:add(f.held, body(at + 7, 4))
  return at + 11, "seen " .. tostring(body(at + 1, 6):uint64())
end

readers[4] = function(_, at) return at + 1, "ask" end

readers[5] = function(body, at, tree)
  tree:add(f.probe, body(at + 1, 2))
  return at + 3, "probe " .. body(at + 1, 2):uint()
end

readers[6] = function(body, at, tree)
  tree:add(f.probe, body(at + 1, 2))
  return at + 3, "probed " .. body(at + 1, 2):uint()
end

readers[7] = function(body, at, tree)
  tree:add(f.bye, body(at + 1, 1))
  return at + 2, "bye"
end

local function opened(body, tree)
  local at, said = 0, {}
  while at < body:len() do
    local kind = body(at, 1):uint()
    local reader = readers[kind]
    if reader == nil then
      if kind ~= 0 then tree:add_proto_expert_info(malformed) end
      break
    end
    local branch = tree:add(twinstep, body(at), "Section: " .. sections[kind])
    branch:add(f.section, body(at, 1))
    -- A section longer than its body reads out of bounds: that is what malformed means here.
    local whole, next, words = pcall(reader, body, at, branch)
    if not whole then
      branch:add_proto_expert_info(malformed)
      said[#said + 1] = "malformed"
      break
    end
    branch:set_len(next - at)
    said[#said + 1] = words
    at = next
  end
  return table.concat(said, ", ")
end

function twinstep.dissector(buffer, packet, root)
  if buffer:reported_length_remaining() < 16 or buffer(0, 2):uint() ~= 0x5457 then return 0 end
  packet.cols.protocol = "TWINSTEP"
  local kind = buffer(3, 1):uint()
  local body_bytes = buffer(14, 2):uint()
  local tree = root:add(twinstep, buffer(0, math.min(buffer:len(), 16 + body_bytes)))
  tree:add(f.magic, buffer(0, 2))
  tree:add(f.version, buffer(2, 1))
  tree:add(f.kind, buffer(3, 1))
  tree:add(f.session, buffer(4, 4))
  tree:add(f.counter, buffer(8, 6))
  tree:add(f.body_bytes, buffer(14, 2))
  local words = kinds[kind] or "unknown"
  if buffer:len() < 16 + body_bytes or buffer(2, 1):uint() ~= 1 then
    tree:add_proto_expert_info(malformed)
    packet.cols.info = words .. ", malformed"
    return buffer:len()
  end
  if body_bytes > 0 then
    local body = buffer(16, body_bytes):tvb()
    if kind == 0x01 and body_bytes == 108 then
      words = hello(body, tree)
    elseif kind == 0x02 and body_bytes >= 16 then
      tree:add(f.sealed, body(0, body_bytes - 16))
      tree:add(f.tag, body(body_bytes - 16, 16))
    elseif kind == 0x82 then
      words = opened(body, tree)
    end
  end
  if buffer:len() > 16 + body_bytes then tree:add(f.padding, buffer(16 + body_bytes)) end
  packet.cols.info = string.format("%s #%s", words, tostring(buffer(8, 6):uint64()))
  return buffer:len()
end

DissectorTable.get("ethertype"):add(0x88b5, twinstep)
DissectorTable.get("ip.proto"):add(253, twinstep)
