/// What happens to the numbers of the segments of one direction.
@usableFromInline
struct SegmentShift: BitwiseCopyable {
    /// Added to the sequence number.
    @usableFromInline var sequence: UInt32 = 0
    /// To TSval.
    @usableFromInline var timestamp: UInt32 = 0
    /// To the acknowledgement number and to every SACK edge, D-SACK's included.
    @usableFromInline var acknowledgement: UInt32 = 0
    /// To TSecr.
    @usableFromInline var echo: UInt32 = 0
    @usableFromInline var window: WindowScaling
    @usableFromInline var removesSACK = false
    @usableFromInline var removesTimestamps = false

    @inlinable @inline(__always)
    init(
        sequence: UInt32 = 0, timestamp: UInt32 = 0, acknowledgement: UInt32 = 0, echo: UInt32 = 0,
        window: WindowScaling, removesSACK: Bool = false, removesTimestamps: Bool = false
    ) {
        self.sequence = sequence
        self.timestamp = timestamp
        self.acknowledgement = acknowledgement
        self.echo = echo
        self.window = window
        self.removesSACK = removesSACK
        self.removesTimestamps = removesTimestamps
    }

    /// Undoes it, but for what cannot be undone: windows that were rounded, options that were blanked.
    @inlinable
    var inverse: SegmentShift {
        SegmentShift(
            sequence: 0 &- sequence, timestamp: 0 &- timestamp, acknowledgement: 0 &- acknowledgement,
            echo: 0 &- echo, window: window.inverse)
    }

    /// A whole segment whose TCP header begins at `header`. False, and nothing changed, when options are malformed.
    @inlinable @inline(__always)
    func apply(toSegment header: UnsafeMutableRawPointer) -> Bool {
        var edit = HeaderEdit(header)
        guard apply(&edit) else { return false }
        edit.updateChecksum(16, after: edit.change)
        return true
    }

    /// The same without the checksum, which is to learn of other changes, too.
    @inlinable @inline(__always)
    func apply(_ edit: inout HeaderEdit) -> Bool {
        let length = TCPHeader(edit.view).length
        if length == 32, edit.view.wire32(20) == Self.timestampsAlone {
            shiftFixedFields(&edit)
            shiftTimestamps(&edit, TCPOption(kind: TCPOptionKind.timestamps, offset: 22, length: 10))
        } else {
            guard length == 20 || Self.canRead(edit.view, length) else { return false }
            shiftFixedFields(&edit)
            if length > 20 { shiftOptions(&edit, end: length) }
        }
        return true
    }

    /// Of a segment that has ACK set and SYN clear, and no options, or just timestamps that stay. False, and nothing
    /// changed, for any other.
    @inlinable @inline(__always)
    func apply(toPlain edit: inout HeaderEdit) -> Bool {
        let length = TCPHeader(edit.view).length
        if length == 20 {
            shiftPlainFields(&edit)
            return true
        }
        guard length == 32, edit.view.wire32(20) == Self.timestampsAlone, !removesTimestamps else { return false }
        shiftPlainFields(&edit)
        edit.shift32(24, by: timestamp)
        edit.shift32(28, by: echo)
        return true
    }

    /// NOP, NOP, timestamps: the options of most segments.
    @inlinable
    static var timestampsAlone: UInt32 { 0x0101_080A }

    @inlinable @inline(__always)
    func shiftPlainFields(_ edit: inout HeaderEdit) {
        edit.shift32(4, by: sequence)
        edit.shift32(8, by: acknowledgement)
        if window.sent != window.read { edit.set16(14, window.scaled(edit.view.wire16(14))) }
    }

    @inlinable @inline(__always)
    func shiftFixedFields(_ edit: inout HeaderEdit) {
        edit.shift32(4, by: sequence)
        let flags = TCPHeader(edit.view).flags
        // Without ACK the field means nothing (RFC 9293 section 3.1).
        if flags.contains(.ack) { edit.shift32(8, by: acknowledgement) }
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        if flags.lacks(.syn), window.sent != window.read { edit.set16(14, window.scaled(edit.view.wire16(14))) }
    }
}

// MARK: options

extension SegmentShift {
    /// Every option ends within the header, and those that are changed have their form.
    @inlinable
    static func canRead(_ header: UnsafeRawPointer, _ length: Int) -> Bool {
        var cursor = TCPOptionCursor(header, end: length)
        while let option = cursor.next() {
            if option.kind == TCPOptionKind.timestamps, !option.isTimestamps { return false }
            if option.kind == TCPOptionKind.sack, !option.isSACK { return false }
        }
        return !cursor.isMalformed
    }

    /// Options that lie wholly before `end`, counted from the header's start.
    @inlinable
    func shiftOptions(_ edit: inout HeaderEdit, end: Int) {
        var cursor = TCPOptionCursor(edit.view, end: end)
        while let option = cursor.next() {
            if option.isTimestamps {
                shiftTimestamps(&edit, option)
            } else if option.isSACK {
                shiftEdges(&edit, option)
            }
        }
    }

    @inlinable @inline(__always)
    func shiftTimestamps(_ edit: inout HeaderEdit, _ option: TCPOption) {
        if removesTimestamps { return edit.blank(option) }
        edit.shift32(option.offset &+ 2, by: timestamp)
        // Without ACK there is nothing that it could echo (RFC 7323 section 3.2).
        if TCPHeader(edit.view).flags.contains(.ack) { edit.shift32(option.offset &+ 6, by: echo) }
    }

    /// Both edges of each block; D-SACK's first block is one like the others (RFC 2018 section 3, RFC 2883).
    @inlinable
    func shiftEdges(_ edit: inout HeaderEdit, _ option: TCPOption) {
        if removesSACK { return edit.blank(option) }
        var offset = option.offset &+ 2
        while offset < option.offset &+ option.length {
            edit.shift32(offset, by: acknowledgement)
            offset &+= 4
        }
    }
}
