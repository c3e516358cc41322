import Wire

// Anything at all, read as a request. What must hold:
// - every range that comes back lies within the head, and the head within the bytes;
// - the answer does not depend on where the bytes were cut: once a prefix has decided, it stays decided.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    fuzzRequests(UnsafeRawBufferPointer(rebasing: bytes[2...]), choice: bytes[0], cut: Int(bytes[1]))
    return 0
}

private func fuzzRequests(_ bytes: UnsafeRawBufferPointer, choice: UInt8, cut: Int) {
    let wanted = Application(rawValue: choice & 15)
    let whole = recogniseRequest(bytes, wanted: wanted)
    if case .request(let request) = whole {
        precondition(request.headLength > 0 && request.headLength <= bytes.count)
        precondition(request.host.end <= request.headLength && request.path.end <= request.headLength)
        precondition(!request.host.isEmpty)
        precondition(wanted.contains(request.application))
        if !request.path.isEmpty { precondition(bytes[Int(request.path.start)] == 0x2F) }
        let head = UnsafeRawBufferPointer(rebasing: bytes[..<request.headLength])
        precondition(recogniseRequest(head, wanted: wanted) == whole)
        let shorter = UnsafeRawBufferPointer(rebasing: bytes[..<(request.headLength - 1)])
        precondition(recogniseRequest(shorter, wanted: wanted) == .incomplete)
    }
    let prefix = UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, cut)])
    let early = recogniseRequest(prefix, wanted: wanted)
    switch (early, whole) {
    case (.incomplete, _): break
    case (.request, _): precondition(early == whole)
    // With mail and web on one port the reason may become another one, the verdict may not.
    case (.unsuitable, .unsuitable): break
    case (.unsuitable, _): preconditionFailure("taken back")
    }
}
