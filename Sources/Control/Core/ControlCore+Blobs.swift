package import CRTP
internal import Wire

// What is under way on a connection goes along with its TRANSFER.
extension ControlCore {
    /// A connection whose client waits for the rest of an answer waits longer than one that waits for a first byte.
    package static var blobPatience: UInt64 { 10_000_000 }

    package mutating func sendAlong(
        _ bytes: [UInt8], with request: TransferRequest, to proxy: Int, within limit: UInt64,
        _ timing: inout TransferTiming,
        now: UInt64
    ) {
        guard let blob = request.transfer.blob else { return }
        timing.timeoutMicroseconds = limit
        timing.retransmissionMicroseconds = 100_000
        timing.retransmissions = 30
        timing.isMeasured = false
        _ = blobs.send(bytes, identifier: blob.identifier, to: proxy, now: now)
        carryOutBlobs()
    }

    package mutating func receive(_ fragment: BlobFragment, _ frame: Frame, from proxy: Int, now: UInt64) {
        let answer = blobs.receive(fragment, frame, from: proxy, now: now)
        // Offers name them.
        blobs.arriving.completed.removeAll()
        if let answer { _ = send(answer, to: proxy) }
    }

    package mutating func receive(_ receipt: BlobReceipt, _ frame: Frame, from proxy: Int, now: UInt64) {
        blobs.receive(receipt, frame, from: proxy, now: now)
        carryOutBlobs()
    }

    package mutating func advanceBlobs(to now: UInt64) {
        blobs.advance(to: now)
        carryOutBlobs()
    }

    /// Whether a blob has arrived does not matter here: its TRANSFER is answered or not.
    private mutating func carryOutBlobs() {
        for (proxy, action) in blobs.actions {
            if case .send(let frame) = action { _ = send(frame, to: proxy) }
        }
        blobs.actions.removeAll(keepingCapacity: true)
    }
}
