import Glibc

/// A pipe whose reading end becomes readable when another thread has something to say.
package struct WakePipe: Sendable {
    package let readingEnd: CInt
    private let writingEnd: CInt

    package init() throws(SystemFailure) {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemFailure("pipe") }
        readingEnd = ends[0]
        writingEnd = ends[1]
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
    }

    package func wake() {
        var byte: UInt8 = 1
        _ = write(writingEnd, &byte, 1)
    }

    package func drain() {
        var bytes = [UInt8](repeating: 0, count: 256)
        while read(readingEnd, &bytes, bytes.count) == bytes.count {}
    }
}
