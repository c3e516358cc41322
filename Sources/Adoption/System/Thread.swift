import Glibc
import Synchronization

/// A POSIX thread with a name.
package enum Thread {
    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }

        /// What `top -H` shows, at most 15 bytes.
        func takeName() { name.withCString { _ = processControl(15, UInt(bitPattern: $0)) } }  // PR_SET_NAME
    }

    package static func detach(_ name: String, _ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Body(name, body)).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { argument in
                let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
                body.takeName()
                body.run()
                return nil
            }, box)
        precondition(result == 0, "no thread for \(name)")
        pthread_detach(thread)
    }
}

/// Something that happens once and that another thread waits for.
package final class OneTimeSignal: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package func raise() { sem_post(semaphore) }
    package func wait() { while sem_wait(semaphore) != 0 {} }
}
