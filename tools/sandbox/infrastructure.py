# SPDX-License-Identifier: Apache-2.0
"""What OpenStack stands on: MariaDB, RabbitMQ and memcached."""
import os
import shutil
import socket

from tools.sandbox import config
from tools.sandbox import process

DATABASES = ('keystone', 'glance', 'placement', 'neutron', 'cinder',
             'nova_api', 'nova_cell0', 'nova')


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((config.ADDRESS, port)) == 0


def start() -> None:
    """Start all three and wait until they answer."""
    memcached().start()
    rabbit_waits = _start_rabbitmq()
    _start_mariadb()
    rabbit_waits()


def restart_rabbitmq() -> None:
    """End RabbitMQ, start it again and wait until it listens."""
    process.stop_named('rabbitmq')
    _start_rabbitmq()()


def memcached() -> process.Daemon:
    return process.Daemon('memcached', (
        '/usr/bin/memcached', '-u', 'root', '-m', '64', '-l', config.ADDRESS,
        '-p', str(config.PORTS['memcached'])))


def database_url(name: str) -> str:
    """Return SQLAlchemy's address of a database of ours."""
    password = config.credentials()['password']
    return (f'mysql+pymysql://sandbox:{password}@{config.ADDRESS}:'
            f'{config.PORTS["mariadb"]}/{name}?charset=utf8mb3')


def transport_url() -> str:
    """Return oslo.messaging's address of RabbitMQ."""
    password = config.credentials()['password']
    return (f'rabbit://sandbox:{password}@{config.ADDRESS}:'
            f'{config.PORTS["rabbitmq"]}/')


def _start_mariadb() -> None:
    data = config.STATE / 'mariadb'
    socket_path = config.RUN / 'mariadb.sock'
    config.RUN.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        made = config.STATE / 'mariadb.new'
        shutil.rmtree(made, ignore_errors=True)
        process.run('/usr/bin/mariadb-install-db', '--no-defaults',
                    '--user=root', '--auth-root-authentication-method=socket',
                    '--skip-test-db', f'--datadir={made}',
                    '--innodb-flush-method=nosync')
        made.rename(data)
    server = process.Daemon('mariadb', (
        '/usr/sbin/mariadbd', '--no-defaults', '--user=root',
        f'--datadir={data}', f'--socket={socket_path}',
        f'--port={config.PORTS["mariadb"]}',
        f'--bind-address={config.ADDRESS}', '--skip-name-resolve',
        '--max-connections=600', '--innodb-buffer-pool-size=128M',
        # A sandbox is made again after a crash of the machine.
        '--innodb-flush-log-at-trx-commit=0', '--skip-innodb-doublewrite',
        '--innodb-flush-method=nosync',
        f'--pid-file={config.RUN}/mariadb.pid'))
    server.start()
    server.wait_for(lambda: _listens(config.PORTS['mariadb']))
    password = config.credentials()['password']
    _sql(f"CREATE USER IF NOT EXISTS sandbox@'%' IDENTIFIED BY '{password}'",
         "GRANT ALL ON *.* TO sandbox@'%'")


def make_empty_databases() -> None:
    """Make all databases, again if need be, and forget what was cached.

    A migration that was cut short cannot be taken up: MariaDB has no
    transactions for tables. Keystone would go on with ids from its cache.
    """
    memcached().stop()
    memcached().start()
    for name in DATABASES:
        _sql(f'DROP DATABASE IF EXISTS {name}',
             f'CREATE DATABASE {name} CHARACTER SET utf8mb3')


def _sql(*statements: str) -> None:
    process.run('/usr/bin/mariadb', '--no-defaults',
                f'--socket={config.RUN}/mariadb.sock', '--user=root',
                stdin=';\n'.join(statements) + ';\n')


def _start_rabbitmq():
    directory = config.STATE / 'rabbitmq'
    directory.mkdir(parents=True, exist_ok=True)
    password = config.credentials()['password']
    settings = directory / 'rabbitmq.conf'
    settings.write_text(
        f'listeners.tcp.1 = {config.ADDRESS}:{config.PORTS["rabbitmq"]}\n'
        'default_user = sandbox\n'
        f'default_pass = {password}\n'
        'default_user_tags.administrator = true\n'
        'disk_free_limit.absolute = 50MB\n'
        'loopback_users = none\n')
    (directory / 'enabled_plugins').write_text('[].\n')
    cookie = directory / '.erlang.cookie'
    if not cookie.exists():
        cookie.touch(mode=0o400)
        cookie.chmod(0o600)
        cookie.write_text(password)
        cookie.chmod(0o400)
    environment = {
        'HOME': str(directory),
        'ERL_EPMD_PORT': str(config.PORTS['epmd']),
        'ERL_EPMD_ADDRESS': config.ADDRESS,
        'RABBITMQ_NODENAME': 'sandbox@localhost',
        'RABBITMQ_DIST_PORT': str(config.PORTS['rabbitmq-dist']),
        'RABBITMQ_CONFIG_FILE': str(settings),
        'RABBITMQ_CONF_ENV_FILE': '/dev/null',
        'RABBITMQ_MNESIA_BASE': str(directory / 'mnesia'),
        'RABBITMQ_LOG_BASE': str(config.LOGS),
        'RABBITMQ_LOGS': '-',
        'RABBITMQ_PID_FILE': str(config.RUN / 'rabbitmq.pid'),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(directory / 'enabled_plugins'),
        'RABBITMQ_SERVER_START_ARGS': '-noinput',
    }
    # Started here, or RabbitMQ would start one that outlives it.
    epmd = process.Daemon('epmd', (
        '/usr/bin/epmd', '-address', config.ADDRESS, '-port',
        str(config.PORTS['epmd'])))
    epmd.start()
    epmd.wait_for(lambda: _listens(config.PORTS['epmd']))
    server = process.Daemon(
        'rabbitmq', ('/usr/lib/rabbitmq/bin/rabbitmq-server',), environment,
        (settings,))
    server.start()
    return lambda: server.wait_for(
        lambda: _listens(config.PORTS['rabbitmq']))


def names() -> tuple[str, ...]:
    """Return the daemons in the order in which they are to end."""
    return ('rabbitmq', 'epmd', 'mariadb', 'memcached')


def path_environment() -> dict[str, str]:
    """Return the PATH that finds the sandbox's own commands first."""
    return {'PATH': f'{config.BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:'
                    f'/usr/bin:/sbin:/bin',
            'PYTHONWARNINGS': 'ignore',
            'LC_ALL': os.environ.get('LC_ALL', 'C.UTF-8')}
