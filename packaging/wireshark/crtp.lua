-- CRTP, version 1, for Wireshark and tshark, as docs/crtp.md has it; README.md says how to use it.
--
-- Filters on fields begin with "crtp."; the protocol itself is "baton", since Wireshark's own "crtp" is RFC 2508.
-- The messages are tables (layouts below); one short walk reads header, body and parts. Each read is bounded by what
-- was captured, so that no input can raise an error here.

local HEADER_BYTES, TAG_BYTES, LONGEST_FRAME = 32, 16, 1472
local AUTHENTICATED, SEALED = 1, 2
local INIT, CHALLENGE, ACCEPT, ERROR = 1, 2, 3, 4

local baton = Proto("baton", "CRTP (Baton)")

-- MARK: expert infos

local function problem(name, text, group, severity)
    return ProtoExpert.new("crtp." .. name, text, expert.group[group], expert.severity[severity])
end

local wrong = {
    version = problem("unknown.version", "A version other than 1", "PROTOCOL", "WARN"),
    type = problem("unknown.type", "Unknown type, answered with ERROR(BAD_MESSAGE)", "PROTOCOL", "WARN"),
    ignored = problem("unknown.ignored", "Unknown type from 0x80 on: ignored", "PROTOCOL", "NOTE"),
    critical = problem("unknown.critical_tlv", "Unknown or unexpected critical TLV: BAD_TLV", "PROTOCOL", "WARN"),
    part = problem("unknown.tlv", "Unknown or unexpected TLV: skipped", "PROTOCOL", "NOTE"),
    reserved = problem("unknown.reserved", "Reserved, but not zero: ignored", "PROTOCOL", "NOTE"),
    header = problem("malformed.header", "Malformed header", "MALFORMED", "ERROR"),
    length = problem("malformed.length", "Wrong length", "MALFORMED", "ERROR"),
    body = problem("malformed.body", "The body is shorter than its fixed part", "MALFORMED", "ERROR"),
    tlv = problem("malformed.tlv", "Malformed TLV", "MALFORMED", "ERROR"),
    value = problem("malformed.value", "A value that must not be", "MALFORMED", "ERROR"),
    missing = problem("malformed.missing_tlv", "A required TLV is missing", "MALFORMED", "ERROR"),
    protection = problem("malformed.protection", "Must be authenticated, not sealed", "SECURITY", "ERROR"),
    session = problem("malformed.session", "A session that must not be", "PROTOCOL", "ERROR"),
    sequence = problem("malformed.sequence", "Sequence 0 in a session: refused", "SECURITY", "WARN"),
    cut = problem("cut", "The capture has only a part of this frame", "UNDECODED", "NOTE"),
}

-- MARK: fields

local fields = {}

local function field(make, name, ...)
    local made = make("crtp." .. name, ...)
    fields[#fields + 1] = made
    return made
end

local function number(bits, name, title, values)
    return field(ProtoField["uint" .. bits], name, title, base.DEC, values)
end

local function identifier(name, title)
    return field(ProtoField.uint32, name, title, base.HEX)
end

local function identifier64(name, title)
    return field(ProtoField.uint64, name, title, base.HEX)
end

local function duration(bits, name, title, unit)
    return field(ProtoField["uint" .. bits], name, title, base.DEC + base.UNIT_STRING, { unit })
end

local function microseconds(name, title)
    return duration(32, name, title, " µs")
end

local function bytes(name, title)
    return field(ProtoField.bytes, name, title, base.NONE)
end

-- The field of `bits` bits, and below it one field for each of its `flags`: { value, name, title }.
local function flags(bits, name, title, list)
    local group = { field(ProtoField["uint" .. bits], name, title, base.HEX) }
    for index, flag in ipairs(list) do
        group[index + 1] = field(ProtoField.bool, name .. "." .. flag[2], flag[3], bits, { "yes", "no" }, flag[1])
    end
    return group
end

-- MARK: what values must be; each rule says what is wrong with a range, or nothing

local function among(values)
    return function(range)
        if not values[range:uint()] then return wrong.value, "None of the values that are defined" end
    end
end

local function at_most(limit, exception)
    return function(range)
        local value = range:uint()
        if value > limit and value ~= exception then return wrong.value, "Must be at most " .. limit end
    end
end

local function between(least, most)
    return function(range)
        local value = range:uint()
        if value < least or value > most then return wrong.value, "Must be " .. least .. " to " .. most end
    end
end

local function not_zero(range)
    if range:uint() == 0 then return wrong.value, "Must not be 0" end
end

local function zeros(range)
    if range:bytes():tohex():find("[^0]") then return wrong.reserved end
end

local function of_length(least, most)
    return function(range)
        if range:len() < least then return wrong.value, "Must be " .. least .. " bytes" end
        if range:len() > most then return wrong.value, "Must be at most " .. most .. " bytes" end
    end
end

-- Least and most of the byte behind some first bytes; else 0x80 and 0xBF (RFC 3629 section 4).
local SECOND_BYTES = {
    [0xE0] = { 0xA0, 0xBF }, [0xED] = { 0x80, 0x9F }, [0xF0] = { 0x90, 0xBF }, [0xF4] = { 0x80, 0x8F },
}

local function is_utf8(text)
    local at = 1
    while at <= #text do
        local first = text:byte(at)
        local more = first < 0x80 and 0 or first < 0xC2 and -1 or first < 0xE0 and 1 or first < 0xF0 and 2
            or first < 0xF5 and 3 or -1
        if more < 0 or at + more > #text then return false end
        for index = 1, more do
            local bounds = index == 1 and SECOND_BYTES[first] or { 0x80, 0xBF }
            local byte = text:byte(at + index)
            if byte < bounds[1] or byte > bounds[2] then return false end
        end
        at = at + 1 + more
    end
    return true
end

local function readable_name(range)
    if range:len() > 63 then return wrong.value, "Must be at most 63 bytes" end
    local text = range:raw()
    if text:find("[\0-\31\127]") then return wrong.value, "Must have no control characters" end
    if not is_utf8(text) then return wrong.value, "Must be UTF-8" end
end

-- MARK: values with names

local PROTECTIONS = { [AUTHENTICATED] = "authenticated", [SEALED] = "sealed" }
local ALGORITHMS = {
    [1] = "round robin", [2] = "least connections", [3] = "least load", [4] = "most load",
    [5] = "application hash", [6] = "enforced", [7] = "two choices", [8] = "multicast",
}
local APPLICATIONS = { [1] = "HTTP GET or HEAD", [2] = "other HTTP", [4] = "TLS", [8] = "SMTP", [16] = "DNS",
    [32] = "QUIC" }
local PROTOCOLS = { [0] = "TCP", [17] = "UDP" }
local CODES = { [16] = "BAD_VERSION", [17] = "BAD_SESSION", [19] = "BAD_MESSAGE" }
local CAUSES = { [1] = "CANCEL", [2] = "LATE", [3] = "FLOW_DONE", [4] = "ADMINISTRATIVE", [5] = "HAND_BACK" }
local STATES = { [0] = "receiving", [1] = "complete", [2] = "refused" }
local REFUSALS = { [1] = "BUSY", [2] = "TOO_BIG", [3] = "CHECKSUM", [4] = "MALFORMED", [5] = "UNWANTED" }
local REASONS = {
    [1] = "NOT_FOUND", [2] = "BUSY", [3] = "DRAINING", [4] = "TUPLE_IN_USE", [5] = "OPTIONS_UNSUPPORTED",
    [6] = "METHOD_UNSUPPORTED", [7] = "REQUEST_INCOMPLETE", [8] = "PIPELINED", [9] = "TOO_BIG", [10] = "EXPIRED",
    [11] = "NO_ROUTE", [12] = "RESOURCE", [13] = "POLICY", [14] = "UNKNOWN_FLOW", [15] = "BAD_TLV", [18] = "INTERNAL",
}
local TYPES = {
    [INIT] = "INIT", [CHALLENGE] = "CHALLENGE", [ACCEPT] = "ACCEPT", [ERROR] = "ERROR", [5] = "KEEPALIVE",
    [6] = "KEEPALIVE_RESPONSE", [16] = "TRANSFER", [17] = "TRANSFER_ACK", [18] = "TRANSFER_NACK", [19] = "FIRST_BYTE",
    [20] = "HANDOFF", [21] = "TERMINATE", [22] = "TERMINATE_RESPONSE", [24] = "BLOB", [25] = "BLOB_RECEIPT",
    [32] = "FLOW_INFO", [33] = "FLOW_INFO_END", [34] = "FLOW_QUERY", [35] = "FLOW_UNKNOWN",
}
local PARTS = {
    [1] = "REQUEST", [2] = "COOKIE", [3] = "NAME", [4] = "PADDING", [5] = "CONNECTION", [6] = "REQUIREMENTS",
    [7] = "BLOB", [8] = "LABEL", [9] = "GROUP", [10] = "FRAGMENT", [11] = "RECEIVED", [13] = "KEYS",
}

-- MARK: layouts: lists of { bytes, field or flags, rule, means }, without gaps; `means` names special values

local reserved = bytes("reserved", "Reserved")
local UNTAGGED = { [0xFFFF] = "untagged" }
local NOT_SEEN = { [0] = "not seen" }

local version = field(ProtoField.uint8, "version", "Version", base.DEC, nil, 0xF0)
local words = field(ProtoField.uint8, "words", "Header length in units of 8 bytes", base.DEC, nil, 0x0F)
local type_field = number(8, "type", "Type", TYPES)
local sender = {
    identifier("sender_id", "Sender id"),
    field(ProtoField.uint32, "sender_id.node", "Node", base.DEC, nil, 0xFFFFFF00),
    field(ProtoField.uint32, "sender_id.channel", "Channel", base.DEC, nil, 0x000000FF),
}

local HEADER = {
    { 1, { version, words, are_siblings = true } },
    { 1, type_field },
    { 2, reserved, zeros },
    { 2, number(16, "length", "Length") },
    { 1, number(8, "key_id", "Key id") },
    { 1, number(8, "protection", "Protection", PROTECTIONS) },
    { 4, sender },
    { 4, identifier("session", "Session") },
    { 8, number(64, "sequence", "Sequence") },
    { 4, number(32, "transaction", "Transaction") },
    { 1, number(8, "attempt", "Attempt") },
    { 3, reserved, zeros },
}

local FLOW_KEY = {
    { 16, field(ProtoField.ipv6, "flow.client", "Client address") },
    { 16, field(ProtoField.ipv6, "flow.server", "Server address") },
    { 2, number(16, "flow.client_port", "Client port") },
    { 2, number(16, "flow.server_port", "Server port") },
    { 2, number(16, "flow.vlan", "VLAN"), at_most(4095, 0xFFFF), UNTAGGED },
    { 1, number(8, "flow.protocol", "Protocol", PROTOCOLS), among(PROTOCOLS) },
    { 1, reserved, zeros },
}

local function behind_flow_key(list)
    local joined = {}
    for _, entry in ipairs(FLOW_KEY) do joined[#joined + 1] = entry end
    for _, entry in ipairs(list) do joined[#joined + 1] = entry end
    return joined
end

local application = number(8, "transfer.application", "Application", APPLICATIONS)

local LAYOUTS = {
    INIT = {
        { 16, bytes("init.nonce", "Nonce") },
        { 8, number(64, "init.epoch", "Epoch") },
        { 4, microseconds("init.interval", "KEEPALIVE interval"), not_zero },
        { 1, number(8, "init.multiplier", "Detect multiplier"), not_zero },
        { 1, number(8, "init.protection", "Weakest protection accepted", PROTECTIONS), among(PROTECTIONS) },
        { 2, flags(16, "init.flags", "Flags", {
            { 1, "announce", "Announce flows" },
            { 2, "forwarder", "The initiator is a forwarder" },
        }) },
    },
    CHALLENGE = {
        { 16, bytes("challenge.nonce", "INIT's nonce") },
        { 24, bytes("challenge.cookie", "Cookie") },
    },
    ACCEPT = {
        { 16, bytes("accept.initiator_nonce", "INIT's nonce") },
        { 16, bytes("accept.responder_nonce", "Responder's nonce") },
        { 8, number(64, "accept.epoch", "Epoch") },
        { 2, number(16, "accept.vlan", "VLAN"), at_most(4095, 0xFFFF), UNTAGGED },
        { 6, field(ProtoField.ether, "accept.mac", "MAC address") },
        { 4, number(32, "accept.credits", "Credits") },
        { 4, flags(32, "accept.capabilities", "Capabilities", {
            { 1, "ipv4", "IPv4" }, { 2, "ipv6", "IPv6" }, { 4, "timestamps", "Timestamps" }, { 8, "sack", "SACK" },
            { 16, "window_scale", "Window scale" }, { 32, "http", "HTTP" }, { 64, "tls", "TLS" },
            { 128, "smtp", "SMTP" }, { 256, "datagrams", "Datagrams" },
            { 512, "handed_back", "Connections that were handed back" }, { 1024, "handoffs", "HANDOFF" },
            { 2048, "blobs", "Blobs" },
        }) },
        { 2, number(16, "accept.mtu", "MTU") },
        { 1, number(8, "accept.protection", "The session's protection", PROTECTIONS), among(PROTECTIONS) },
        { 5, reserved, zeros },
    },
    ERROR = {
        { 1, number(8, "error.code", "Code", CODES), among(CODES) },
        { 3, reserved, zeros },
        { 4, identifier("error.detail", "Detail") },
    },
    KEEPALIVE = {
        { 1, number(8, "keepalive.algorithm", "Selection algorithm", ALGORITHMS), among(ALGORITHMS) },
        { 7, reserved, zeros },
    },
    KEEPALIVE_RESPONSE = {
        { 4, number(32, "keepalive_response.connections", "Connections") },
        { 4, number(32, "keepalive_response.credits", "Credits") },
        { 2, number(16, "keepalive_response.processor", "Processor load, thousandths") },
        { 2, number(16, "keepalive_response.memory", "Memory load, thousandths") },
        { 2, flags(16, "keepalive_response.flags", "Flags", {
            { 1, "draining", "Draining" }, { 2, "in_group", "In the group that KEEPALIVE named" },
        }) },
        { 2, reserved, zeros },
    },
    TRANSFER = behind_flow_key {
        { 4, number(32, "transfer.psn", "PSN, the request's first byte") },
        { 4, number(32, "transfer.pan", "PAN, the next byte that the client expects") },
        { 4, number(32, "transfer.window", "Client's window") },
        { 4, number(32, "transfer.edge", "Right edge of the server's window") },
        { 2, number(16, "transfer.client_mss", "Client's MSS"), nil, NOT_SEEN },
        { 2, number(16, "transfer.server_mss", "Server's MSS"), nil, NOT_SEEN },
        { 1, number(8, "transfer.client_scale", "Client's window scale"), at_most(14) },
        { 1, number(8, "transfer.server_scale", "Server's window scale"), at_most(14) },
        { 1, flags(8, "transfer.options", "Agreed options", {
            { 1, "window_scale", "Window scale" }, { 2, "sack", "SACK" }, { 4, "timestamps", "Timestamps" },
        }) },
        { 1, number(8, "transfer.ttl", "TTL or hop limit") },
        { 4, number(32, "transfer.server_tsval", "Server's last TSval that the client has seen") },
        { 4, number(32, "transfer.client_tsval", "Client's last TSval") },
        { 4, microseconds("transfer.age", "Since the server's TSval was seen"), nil, { [0xFFFFFFFF] = "or longer" } },
        { 4, microseconds("transfer.valid", "The director will wait") },
        { 1, application, among(APPLICATIONS) },
        { 1, flags(8, "transfer.flags", "Flags", {
            { 1, "truncated", "The request head is longer than REQUEST" },
            { 2, "held", "The request is held and will be handed over" },
            { 4, "first_byte", "FIRST_BYTE is wanted" },
            { 8, "may_come_back", "The connection may be handed back" },
            { 16, "acknowledged", "The client knows that the request has arrived" },
        }) },
        { 2, number(16, "transfer.generation", "Changed hands before") },
        { 4, number(32, "transfer.transfer", "Handed back: TRANSFER's transaction"), nil, { [0] = "not handed back" } },
    },
    TRANSFER_NACK = {
        { 1, number(8, "transfer_nack.reason", "Reason", REASONS), among(REASONS) },
        { 1, reserved, zeros },
        { 2, duration(16, "transfer_nack.retry_after", "Retry after", " ms"), nil, { [0] = "no advice" } },
        { 4, identifier("transfer_nack.detail", "Detail") },
    },
    TERMINATE = {
        { 1, number(8, "terminate.cause", "Cause", CAUSES), among(CAUSES) },
        { 3, reserved, zeros },
        { 4, number(32, "terminate.transfer", "Transfer (TRANSFER's transaction)") },
        { 4, number(32, "terminate.psn", "The transfer's PSN") },
        { 4, reserved, zeros },
        { 8, number(64, "terminate.sent", "Bytes sent to the client") },
    },
    FLOW_INFO = behind_flow_key {
        { 4, number(32, "flow_info.transfer", "Transfer (TRANSFER's transaction)") },
        { 4, reserved, zeros },
    },
    FLOW_INFO_END = {
        { 4, number(32, "flow_info_end.count", "Flows announced") },
        { 4, reserved, zeros },
    },
    FLOW_QUERY = FLOW_KEY,
    FLOW_UNKNOWN = FLOW_KEY,
    BLOB = {
        { 8, identifier64("blob.blob", "Blob") },
        { 4, number(32, "blob.length", "Bytes of the whole") },
        { 4, identifier("blob.checksum", "CRC-32C of the whole") },
        { 2, number(16, "blob.index", "Fragment") },
        { 2, number(16, "blob.count", "Fragments"), between(1, 9728) },
        { 2, number(16, "blob.fragment_bytes", "Bytes of a fragment"), between(1, 1216) },
        { 2, reserved, zeros },
    },
    BLOB_RECEIPT = {
        { 8, identifier64("blob_receipt.blob", "Blob") },
        { 1, number(8, "blob_receipt.state", "State", STATES), among(STATES) },
        { 1, number(8, "blob_receipt.reason", "Reason", REFUSALS) },
        { 2, number(16, "blob_receipt.index", "Fragment") },
    },
    TRANSFER_ACK = {}, FIRST_BYTE = {}, TERMINATE_RESPONSE = {},
}

LAYOUTS.HANDOFF = {}
for _, entry in ipairs(LAYOUTS.TRANSFER) do table.insert(LAYOUTS.HANDOFF, entry) end
table.insert(LAYOUTS.HANDOFF, { 8, number(64, "handoff.sent_at", "Sent at, µs since 1970") })

local INITIATOR, RESPONDER = "initiator", "responder"
local SENDERS = {
    INIT = INITIATOR, KEEPALIVE = INITIATOR, CHALLENGE = RESPONDER, ACCEPT = RESPONDER, KEEPALIVE_RESPONSE = RESPONDER,
    FLOW_INFO = RESPONDER, FLOW_INFO_END = RESPONDER, HANDOFF = INITIATOR, FLOW_QUERY = INITIATOR, FLOW_UNKNOWN = RESPONDER,
}

-- MARK: parts

local part_field = field(ProtoField.none, "tlv", "TLV")
local part_critical = field(ProtoField.bool, "tlv.critical", "Critical", 16, { "yes", "no" }, 0x8000)
local part_type = field(ProtoField.uint16, "tlv.type", "Type", base.DEC, PARTS, 0x7FFF)
local part_length = number(16, "tlv.length", "Length")
local part_value = bytes("tlv.value", "Value")
local part_alignment = bytes("tlv.alignment", "Zeros up to a multiple of four")

-- `expected` are the messages that the part belongs to, `any` when it may come in all and more than once.
local PART_KINDS = {
    REQUEST = { expected = { TRANSFER = true, HANDOFF = true }, field = bytes("tlv.request", "Request"), rule = of_length(0, 1216) },
    COOKIE = { expected = { INIT = true }, field = bytes("tlv.cookie", "Cookie"), rule = of_length(24, 24) },
    NAME = {
        expected = { ACCEPT = true }, field = field(ProtoField.string, "tlv.name", "Name"), rule = readable_name,
        encoding = ENC_UTF_8,
    },
    KEYS = {
        expected = { INIT = true, ACCEPT = true, KEEPALIVE_RESPONSE = true }, field = bytes("tlv.keys", "Key ids held"),
        rule = of_length(0, 256),
    },
    GROUP = {
        expected = { KEEPALIVE = true }, field = bytes("tlv.group", "Multicast group"), rule = of_length(40, 40), bytes = 40,
        layout = {
            { 16, field(ProtoField.ipv6, "group.address", "Address") },
            { 2, number(16, "group.port", "Port") },
            { 1, number(8, "group.key_id", "Key id") },
            { 1, number(8, "group.protection", "Protection", PROTECTIONS), among(PROTECTIONS) },
            { 4, identifier("group.session", "Session"), not_zero },
            { 16, bytes("group.nonce", "Nonce") },
        },
    },
    PADDING = { any = true, field = bytes("tlv.padding", "Padding") },
    CONNECTION = {
        expected = { TRANSFER = true, HANDOFF = true }, field = identifier64("tlv.connection", "Connection"), rule = of_length(8, 8), bytes = 8,
        encoding = ENC_BIG_ENDIAN,
    },
    REQUIREMENTS = {
        expected = { TRANSFER = true, HANDOFF = true }, field = bytes("tlv.requirements", "Requirements"),
        rule = of_length(12, 12), bytes = 12,
        layout = {
            { 4, duration(32, "requirements.bandwidth", "Bandwidth", " kbit/s"), nil, { [0] = "any" } },
            { 4, microseconds("requirements.delay", "Delay"), nil, { [0] = "any" } },
            { 1, number(8, "requirements.class", "Class (DSCP)"), at_most(63, 255), { [255] = "any" } },
            { 3, reserved, zeros },
        },
    },
    BLOB = {
        expected = { TRANSFER = true }, field = bytes("tlv.blob", "Where the connection is"), rule = of_length(16, 16),
        bytes = 16,
        layout = {
            { 8, identifier64("reference.blob", "Blob") },
            { 4, number(32, "reference.length", "Bytes") },
            { 4, identifier("reference.checksum", "CRC-32C") },
        },
    },
    LABEL = {
        expected = { FLOW_INFO = true }, field = bytes("tlv.label", "Label"), rule = of_length(8, 8), bytes = 8,
        layout = {
            { 1, reserved, zeros },
            { 3, field(ProtoField.uint24, "label.identifier", "Flow identifier", base.HEX), nil, { [0] = "none" } },
            { 4, number(32, "label.generation", "Generation") },
        },
    },
    FRAGMENT = { expected = { BLOB = true }, field = bytes("tlv.fragment", "Bytes"), rule = of_length(0, 1216) },
    RECEIVED = { expected = { BLOB_RECEIPT = true }, field = bytes("tlv.received", "Bitmap"), rule = of_length(0, 1216) },
}
local REQUIRED = {
    TRANSFER = "REQUEST", HANDOFF = "REQUEST", ACCEPT = "NAME", BLOB = "FRAGMENT", BLOB_RECEIPT = "RECEIVED",
}

local header_field = field(ProtoField.none, "header", "Header")
local body_field = field(ProtoField.none, "body", "Body")
local from_field = field(ProtoField.string, "from", "From")
local sealed_body = bytes("body.sealed", "Sealed body")
local unknown_body = bytes("body.unknown", "Body that cannot be read")
local fragment = bytes("fragment", "Fragment of a field")
local tag_field = bytes("tag", "Tag")
local trailing = bytes("trailing", "Behind the frame")

local experts = {}
for _, one in pairs(wrong) do experts[#experts + 1] = one end
baton.fields = fields
baton.experts = experts

-- MARK: the walk

local function judge(item, rule, range)
    if not rule then return end
    local found, text = rule(range)
    -- Its text is left out, not nil, where the info's own is meant.
    if text then
        item:add_proto_expert_info(found, text)
    elseif found then
        item:add_proto_expert_info(found)
    end
end

-- A group is a field with its bits below, or bits beside each other.
local function put(tree, group, range)
    if type(group) ~= "table" then return tree:add(group, range) end
    local item = tree:add(group[1], range)
    local parent = group.are_siblings and tree or item
    for index = 2, #group do parent:add(group[index], range) end
    return item
end

-- Bytes from `start` on that are less than a field.
local function put_fragment(tree, tvb, start, stop)
    if start < stop then tree:add(fragment, tvb(start, stop - start)) end
end

-- Shows a layout that begins at `start`, as far as `stop`; false when it reaches further.
local function put_layout(tree, tvb, start, stop, layout)
    for _, entry in ipairs(layout) do
        local count, group, rule, means = entry[1], entry[2], entry[3], entry[4]
        if start + count > stop then
            put_fragment(tree, tvb, start, stop)
            return false
        end
        local range = tvb(start, count)
        local item = put(tree, group, range)
        if means and means[range:uint()] then item:append_text(" (" .. means[range:uint()] .. ")") end
        judge(item, rule, range)
        start = start + count
    end
    return true
end

local function byte_count(layout)
    local total = 0
    for _, entry in ipairs(layout) do total = total + entry[1] end
    return total
end

-- One part's value, whole. True when it is a known part in its place.
local function put_value(item, range, name, message, critical)
    local kind = PART_KINDS[name]
    if not kind or not (kind.any or kind.expected[message]) then
        item:add(part_value, range)
        item:add_proto_expert_info(critical and wrong.critical or wrong.part)
        return false
    end
    -- What has the wrong length is no number.
    local is_whole = not kind.bytes or kind.bytes == range:len()
    local value = item:add_packet_field(is_whole and kind.field or part_value, range, kind.encoding or ENC_NA)
    judge(value, kind.rule, range)
    return true
end

-- A part that begins at `start` of a body that ends at `finish`. Returns where the next one begins (nil when nothing
-- can be said of what follows), and the name of a known part in its place with its value.
local function put_part(tree, tvb, start, finish, message)
    local captured = math.min(finish, tvb:captured_len())
    if start + 4 > captured then
        put_fragment(tree, tvb, start, captured)
        if start + 4 > finish then tree:add_proto_expert_info(wrong.tlv, "Shorter than a TLV's type and length") end
        return nil
    end
    local word, count = tvb(start, 2):uint(), tvb(start + 2, 2):uint()
    local critical, name = word >= 0x8000, PARTS[word % 0x8000]
    local value_end = start + 4 + count
    local next_start = value_end + (-count) % 4
    local item = tree:add(part_field, tvb(start, math.min(next_start, captured) - start))
    local title = name or (word % 0x8000 >= 0x7F00 and "private use" or "unknown")
    item:append_text(": " .. title .. ", " .. count .. " bytes")
    item:add(part_critical, tvb(start, 2))
    item:add(part_type, tvb(start, 2))
    local length = item:add(part_length, tvb(start + 2, 2))
    if next_start > finish then length:add_proto_expert_info(wrong.tlv, "The TLV reaches beyond the body") end
    if next_start > captured then
        local stop = math.min(value_end, captured)
        if start + 4 < stop then item:add(part_value, tvb(start + 4, stop - start - 4)) end
        put_fragment(item, tvb, stop, captured)
        return nil
    end
    local range = tvb(start + 4, count)
    local is_known = put_value(item, range, name, message, critical)
    local kind = PART_KINDS[name]
    if is_known and kind.layout and kind.bytes == count then
        put_layout(item, tvb, start + 4, value_end, kind.layout)
    end
    if next_start > value_end then
        local padding = tvb(value_end, next_start - value_end)
        local shown = item:add(part_alignment, padding)
        if zeros(padding) then shown:add_proto_expert_info(wrong.tlv, "Padding that is not zero") end
    end
    return next_start, is_known and name or nil, range, item
end

-- All parts; returns the values of the known ones by name.
local function put_parts(tree, tvb, start, finish, message)
    local values = {}
    while start and start < finish do
        local next_start, name, range, item = put_part(tree, tvb, start, finish, message)
        if name and not PART_KINDS[name].any then
            if values[name] then item:add_proto_expert_info(wrong.tlv, "A known TLV that comes twice") end
            values[name] = range
        end
        start = next_start
    end
    local required = REQUIRED[message]
    if start and required and not values[required] then
        tree:add_proto_expert_info(wrong.missing, required .. " is missing")
    end
    return values
end

-- MARK: rules that concern more than one field of a body; each says what is wrong, or nothing

local JUDGES = {
    TRANSFER = function(_, _, values)
        local is_long = values.BLOB and values.REQUEST and values.REQUEST:len() > 1200
        return is_long and "REQUEST must be at most 1200 bytes beside BLOB" or nil
    end,
    BLOB = function(tvb, at, values)
        local length, index = tvb(at + 8, 4):uint(), tvb(at + 16, 2):uint()
        local count, size = tvb(at + 18, 2):uint(), tvb(at + 20, 2):uint()
        if index >= count or size == 0 or count ~= math.max(1, math.ceil(length / size)) then
            return "Length, fragments and their size must agree"
        end
        local due = math.min(size, length - index * size)
        return values.FRAGMENT and values.FRAGMENT:len() ~= due and ("FRAGMENT must be %d bytes"):format(due) or nil
    end,
    BLOB_RECEIPT = function(tvb, at)
        local state, reason = tvb(at + 8, 1):uint(), tvb(at + 9, 1):uint()
        return state == 2 and not REFUSALS[reason] and "A refusal must have a reason" or nil
    end,
}

-- MARK: what a line says of a message

local V4_PREFIX = ("00"):rep(10) .. "ffff"

local function is_v4(range)
    return range(0, 12):bytes():tohex(true) == V4_PREFIX
end

local function endpoint(address, port)
    local text = is_v4(address) and tostring(address(12, 4):ipv4()) or "[" .. tostring(address:ipv6()) .. "]"
    return text .. ":" .. port:uint()
end

local function flow(tvb, start)
    return endpoint(tvb(start, 16), tvb(start + 32, 2)) .. " → " .. endpoint(tvb(start + 16, 16), tvb(start + 34, 2))
end

local function name_of(values, range)
    return values[range:uint()] or tostring(range:uint())
end

local SUMMARIES = {
    ERROR = function(tvb, at) return name_of(CODES, tvb(at, 1)) end,
    KEEPALIVE_RESPONSE = function(tvb, at)
        return ("connections=%d credits=%d"):format(tvb(at, 4):uint(), tvb(at + 4, 4):uint())
    end,
    TRANSFER = function(tvb, at, values)
        local is_text = values.REQUEST and tvb(at + 80, 1):uint() ~= 4
        local line = is_text and values.REQUEST:raw():match("^[\32-\126]+") or ""
        return flow(tvb, at) .. (#line > 0 and ", " .. line:sub(1, 60) or "")
    end,
    TRANSFER_NACK = function(tvb, at) return name_of(REASONS, tvb(at, 1)) end,
    TERMINATE = function(tvb, at)
        return ("%s transfer=%d"):format(name_of(CAUSES, tvb(at, 1)), tvb(at + 4, 4):uint())
    end,
    FLOW_INFO = function(tvb, at) return flow(tvb, at) end,
    FLOW_QUERY = function(tvb, at) return flow(tvb, at) end,
    FLOW_UNKNOWN = function(tvb, at) return flow(tvb, at) end,
    BLOB = function(tvb, at)
        return ("%s, %d of %d, %d bytes"):format(tvb(at, 8):bytes():tohex(true), tvb(at + 16, 2):uint() + 1,
            tvb(at + 18, 2):uint(), tvb(at + 8, 4):uint())
    end,
    BLOB_RECEIPT = function(tvb, at)
        local state = tvb(at + 8, 1)
        return ("%s %s"):format(tvb(at, 8):bytes():tohex(true),
            state:uint() == 2 and name_of(REFUSALS, tvb(at + 9, 1)) or name_of(STATES, state))
    end,
    FLOW_INFO_END = function(tvb, at) return ("flows=%d"):format(tvb(at, 4):uint()) end,
    ACCEPT = function(_, _, values)
        return values.NAME and not readable_name(values.NAME) and values.NAME:raw() or nil
    end,
}

SUMMARIES.HANDOFF = SUMMARIES.TRANSFER

-- MARK: frames

-- Rules that concern more than one field of the header, which is whole.
local function judge_header(tree, tvb, size)
    local kind, protection, session = tvb(1, 1):uint(), tvb(7, 1):uint(), tvb(12, 4):uint()
    local length = tvb(4, 2):uint()
    if tvb(0, 1):uint() % 16 ~= HEADER_BYTES / 8 then
        tree:add_proto_expert_info(wrong.header, "The header's length must be 4 units of 8 bytes")
    end
    if length ~= size then
        tree:add_proto_expert_info(wrong.length, ("The header says %d bytes, the datagram has %d"):format(length, size))
    end
    if length < HEADER_BYTES + TAG_BYTES or length > LONGEST_FRAME then
        tree:add_proto_expert_info(wrong.length, "A frame has 48 to 1472 bytes")
    end
    if not PROTECTIONS[protection] then tree:add_proto_expert_info(wrong.header, "Protection must be 1 or 2") end
    if protection == SEALED and (kind >= INIT and kind <= ACCEPT or kind == ERROR and session == 0) then
        tree:add_proto_expert_info(wrong.protection)
    end
    if session ~= 0 and (kind == INIT or kind == CHALLENGE) then
        tree:add_proto_expert_info(wrong.session, "Must be 0: no session is there yet")
    end
    if session == 0 and TYPES[kind] and kind ~= INIT and kind ~= CHALLENGE and kind ~= ERROR then
        tree:add_proto_expert_info(wrong.session, "Must not be 0")
    end
    local is_in_session = session ~= 0 and (kind == 0 or kind > ACCEPT)
    if is_in_session and tvb(16, 4):uint() == 0 and tvb(20, 4):uint() == 0 then
        tree:add_proto_expert_info(wrong.sequence)
    end
end

-- What every version has in common.
local function put_other_version(tree, tvb)
    local captured = tvb:captured_len()
    tree:add(version, tvb(0, 1)):add_proto_expert_info(wrong.version)
    if captured < 2 then return "of another version" end
    -- Only ERROR's number is the same in every version.
    local item = tree:add(type_field, tvb(1, 1))
    local is_error = tvb(1, 1):uint() == ERROR
    if not is_error then item:append_text(" in version 1") end
    if captured > 2 then tree:add(unknown_body, tvb(2, captured - 2)) end
    return is_error and "ERROR of another version" or "of another version"
end

-- The body between `start` and `finish` of a frame in the clear; returns what the line says of it.
local function put_body(tree, tvb, start, finish, message)
    local stop = math.min(finish, tvb:captured_len())
    local layout = LAYOUTS[message]
    local fixed_end = start + byte_count(layout)
    local body = tree
    if start < stop then
        body = tree:add(body_field, tvb(start, stop - start))
        body:append_text(": " .. message)
    end
    local is_whole = put_layout(body, tvb, start, stop, layout)
    if not is_whole then return nil end
    local is_flow = layout[1] == FLOW_KEY[1]
    if is_flow and is_v4(tvb(start, 16)) ~= is_v4(tvb(start + 16, 16)) then
        body:add_proto_expert_info(wrong.value, "Both addresses must be of one family")
    end
    local values = put_parts(body, tvb, fixed_end, finish, message)
    if JUDGES[message] then
        local text = JUDGES[message](tvb, start, values)
        if text then body:add_proto_expert_info(wrong.value, text) end
    end
    return SUMMARIES[message] and SUMMARIES[message](tvb, start, values)
end

-- Body and tag of a frame whose header is whole. `finish` is the frame's end, wherever the capture ends.
local function put_frame(tree, tvb, finish)
    local captured = tvb:captured_len()
    local kind, protection = tvb(1, 1):uint(), tvb(7, 1):uint()
    local message = TYPES[kind]
    local body_end = finish - TAG_BYTES
    local stop = math.min(body_end, captured)
    local said
    if message and body_end - HEADER_BYTES < byte_count(LAYOUTS[message]) then
        tree:add_proto_expert_info(wrong.body)
    end
    if protection == SEALED then
        said = "sealed"
        if stop > HEADER_BYTES then tree:add(sealed_body, tvb(HEADER_BYTES, stop - HEADER_BYTES)) end
    elseif message and protection == AUTHENTICATED then
        said = put_body(tree, tvb, HEADER_BYTES, body_end, message)
    elseif stop > HEADER_BYTES then
        tree:add(unknown_body, tvb(HEADER_BYTES, stop - HEADER_BYTES))
    end
    if captured >= finish then
        tree:add(tag_field, tvb(body_end, TAG_BYTES))
        if captured > finish then tree:add(trailing, tvb(finish, captured - finish)) end
    else
        put_fragment(tree, tvb, math.max(body_end, HEADER_BYTES), captured)
    end
    return said
end

-- One frame, which is all of `tvb`; returns the text for the packet list.
local function dissect_frame(tvb, tree)
    local captured, size = tvb:captured_len(), tvb:reported_len()
    if captured < size then
        tree:add_proto_expert_info(wrong.cut, ("The capture has %d of %d bytes"):format(captured, size))
    end
    if math.floor(tvb(0, 1):uint() / 16) ~= 1 then return put_other_version(tree, tvb) end

    local header = tree:add(header_field, tvb(0, math.min(captured, HEADER_BYTES)))
    local is_whole = put_layout(header, tvb, 0, captured, HEADER)
    if size < HEADER_BYTES + TAG_BYTES then
        tree:add_proto_expert_info(wrong.length, "Shorter than header and tag")
    end
    if captured < 2 then return "fragment" end
    local kind = tvb(1, 1):uint()
    local message = TYPES[kind]
    local title = message or ("type %d"):format(kind)
    if not message then header:add_proto_expert_info(kind >= 0x80 and wrong.ignored or wrong.type) end
    if SENDERS[message] then header:add(from_field, SENDERS[message]):set_generated() end
    if not is_whole then return title .. ", fragment" end

    judge_header(header, tvb, size)
    title = ("%s transaction=%d attempt=%d"):format(title, tvb(24, 4):uint(), tvb(28, 1):uint())
    if size < HEADER_BYTES + TAG_BYTES then
        put_fragment(tree, tvb, HEADER_BYTES, captured)
        return title .. ", fragment"
    end
    -- A length that cannot be right says nothing of where the tag is: then it is the datagram's end.
    local length = tvb(4, 2):uint()
    local said = put_frame(tree, tvb, length < HEADER_BYTES + TAG_BYTES and size or length)
    return said and title .. ", " .. said or title
end

local function show(tvb, pinfo, root)
    local tree = root:add(baton, tvb(0, tvb:captured_len()))
    pinfo.cols.protocol = "CRTP"
    local title = dissect_frame(tvb, tree)
    tree:append_text(", " .. title)
    return title
end

-- Wireshark's number for it in `pinfo.port_type`.
local TCP = 2

-- What tells a stream's frames apart is in their first six bytes.
local PREFIX_BYTES = 6

-- A stream's next frame. What cannot be a frame's beginning takes the rest along: nothing says where one begins.
local function frame_length(tvb, _, offset)
    local rest = math.max(PREFIX_BYTES, tvb:reported_len() - offset)
    if tvb:captured_len() - offset < PREFIX_BYTES then return rest end
    local length = tvb(offset + 4, 2):uint()
    local begins = tvb(offset, 1):uint() == 0x14 and length >= HEADER_BYTES + TAG_BYTES and length <= LONGEST_FRAME
    return begins and length or rest
end

local function show_of_stream(tvb, pinfo, root)
    if tvb:captured_len() == 0 then return 0 end
    pinfo.cols.info:append(" | " .. show(tvb, pinfo, root))
    return tvb:captured_len()
end

-- A segment whose capture ends between two frames, without what was not captured: asked for a frame of which there is
-- not one byte, Wireshark raises an error.
local function without_absent_frames(tvb, root)
    local captured, offset = tvb:captured_len(), 0
    if captured == tvb:reported_len() then return tvb end
    while offset < captured do offset = offset + frame_length(tvb, nil, offset) end
    if offset > captured then return tvb end
    root:add_proto_expert_info(wrong.cut, ("The capture has %d of %d bytes"):format(captured, tvb:reported_len()))
    return tvb(0, captured):tvb()
end

function baton.dissector(tvb, pinfo, root)
    if tvb:captured_len() == 0 then return 0 end
    if pinfo.port_type == TCP then
        dissect_tcp_pdus(without_absent_frames(tvb, root), root, PREFIX_BYTES, frame_length, show_of_stream)
    else
        pinfo.cols.info = show(tvb, pinfo, root)
    end
    return tvb:captured_len()
end

-- MARK: which datagrams

-- Strict, for every datagram without a known port is tried: a known type, all that must be so, zeros in reserved.
local function is_frame(tvb)
    if tvb:captured_len() < HEADER_BYTES or tvb:reported_len() > LONGEST_FRAME then return false end
    return tvb:reported_len() >= HEADER_BYTES + TAG_BYTES and tvb(0, 1):uint() == 0x14
        and TYPES[tvb(1, 1):uint()] ~= nil and tvb(2, 2):uint() == 0 and tvb(4, 2):uint() == tvb:reported_len()
        and PROTECTIONS[tvb(7, 1):uint()] ~= nil and tvb(29, 3):uint() == 0
end

baton:register_heuristic("udp", function(tvb, pinfo, root)
    if not is_frame(tvb) then return false end
    -- What follows between these two ends is CRTP even when it is malformed.
    pinfo.conversation = baton
    baton.dissector(tvb, pinfo, root)
    return true
end)

local udp_ports, tcp_ports = DissectorTable.get("udp.port"), DissectorTable.get("tcp.port")
udp_ports:add_for_decode_as(baton)
tcp_ports:add_for_decode_as(baton)

baton.prefs.udp_ports = Pref.range("UDP ports", "", "The ports of crtp.listen, such as 4117,5000-5010", 65535)
local chosen = ""

function baton.prefs_changed()
    if chosen ~= "" then udp_ports:remove(chosen, baton) end
    chosen = baton.prefs.udp_ports
    if chosen ~= "" then udp_ports:add(chosen, baton) end
end
