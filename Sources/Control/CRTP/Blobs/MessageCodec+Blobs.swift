// Bodies and parts that concern blobs, and a connection's label.
extension MessageCodec {
    /// The body of BLOB_RECEIPT's second byte where nothing is refused.
    private static var noReason: UInt8 { 0 }

    private enum ReceiptState: UInt8 {
        case receiving = 0
        case complete = 1
        case refused = 2
    }

    // MARK: to bytes

    /// 24 bytes and FRAGMENT.
    static func encode(_ fragment: BlobFragment, into body: inout FrameWriter) {
        body.append64(fragment.blob)
        body.append32(fragment.length)
        body.append32(fragment.checksum)
        body.append16(fragment.index)
        body.append16(fragment.count)
        body.append16(fragment.fragmentBytes)
        body.append16(0)
        TypeLengthValue.fragment.append(
            fragment.bytes.prefix(BlobFragment.maximumBytes), critical: true, to: &body)
    }

    /// 12 bytes and RECEIVED.
    static func encode(_ receipt: BlobReceipt, into body: inout FrameWriter) {
        body.append64(receipt.blob)
        switch receipt.state {
        case .receiving:
            body.append(ReceiptState.receiving.rawValue)
            body.append(noReason)
        case .complete:
            body.append(ReceiptState.complete.rawValue)
            body.append(noReason)
        case .refused(let reason):
            body.append(ReceiptState.refused.rawValue)
            body.append(reason.rawValue)
        }
        body.append16(receipt.index)
        TypeLengthValue.received.append(
            receipt.bitmap.prefix(BlobReceipt.maximumBitmap), critical: true, to: &body)
    }

    /// BLOB, in TRANSFER.
    static func encode(_ blob: BlobReference, into body: inout FrameWriter) {
        TypeLengthValue.blob.appendHead(blobReferenceByteCount, critical: true, to: &body)
        body.append64(blob.identifier)
        body.append32(blob.length)
        body.append32(blob.checksum)
    }

    /// LABEL, in FLOW_INFO.
    static func encode(_ label: FlowLabel, into body: inout FrameWriter) {
        TypeLengthValue.flowLabel.appendHead(flowLabelByteCount, critical: false, to: &body)
        body.append32(label.identifier)
        body.append32(label.generation)
    }

    // MARK: from bytes

    static func decodeBlobFragment(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> BlobFragment? {
        guard let bytes = parts.fragment else { return nil }
        let fragment = BlobFragment(
            blob: body.load64(at: 0), length: body.load32(at: 8), checksum: body.load32(at: 12),
            index: body.load16(at: 16), count: body.load16(at: 18), fragmentBytes: body.load16(at: 20),
            bytes: body.loadBytes(at: bytes.lowerBound, count: bytes.count))
        return fragment.isConsistent ? fragment : nil
    }

    static func decodeBlobReceipt(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> BlobReceipt? {
        guard let received = parts.received, let number = ReceiptState(rawValue: body[8]) else { return nil }
        let state: BlobReceipt.State
        switch number {
        case .receiving: state = .receiving
        case .complete: state = .complete
        case .refused:
            guard let reason = BlobRefusal(rawValue: body[9]) else { return nil }
            state = .refused(reason)
        }
        return BlobReceipt(
            blob: body.load64(at: 0), state: state, index: body.load16(at: 10),
            bitmap: body.loadBytes(at: received.lowerBound, count: received.count))
    }

    static func decodeBlobReference(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> BlobReference? {
        parts.blob.map {
            BlobReference(
                identifier: body.load64(at: $0.lowerBound), length: body.load32(at: $0.lowerBound + 8),
                checksum: body.load32(at: $0.lowerBound + 12))
        }
    }

    static func decodeFlowLabel(_ body: UnsafeRawBufferPointer, _ parts: Parts) -> FlowLabel? {
        parts.flowLabel.map {
            FlowLabel(identifier: body.load32(at: $0.lowerBound), generation: body.load32(at: $0.lowerBound + 4))
        }
    }
}
